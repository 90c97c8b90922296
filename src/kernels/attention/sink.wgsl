// The sink of a head is one more score, which has no value (attention.as.ts). It joins last: when all scores have been added up,
// relative to the largest of them, and what it adds is this. A sink may be the larger one; 88 is where exp1 ends.
fn sinkWeight(head: u32, largest: f32) -> f32 { return exp1(min(vectors[params.sinks + head] - largest, 88.0)); }
