// output[r] = activation(gate[r]) · up[r] (Shazeer 2020). The operands are the halves of a row, buffers of their own, or
// one of them is overwritten. CLAMPED: output = g · sigmoid(ALPHA · g) · (u + 1), g being the lesser of gate and LIMIT, and u up
// within ± LIMIT. Dispatch (groups of columns, rows).
#if CLAMPED
#include "common/exp.wgsl"

fn gated4(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> {
  // Comparisons are false for NaN, which stays.
  let limit = vec4(f32(LIMIT));
  let g = select(gate, limit, gate > limit);
  let below = select(up, limit, up > limit);
  let u = select(below, -limit, below < -limit);
  // As activation.wgsl has it: the exponent is never positive.
  let z = f32(ALPHA) * g;
  let e = exp4(-abs(z));
  return g * select(e, vec4(1.0), z >= vec4(0.0)) / (1.0 + e) * (u + 1.0);
}
#else
#include "common/activation.wgsl"

fn gated4(gate: vec4<f32>, up: vec4<f32>) -> vec4<f32> { return activate4(gate) * up; }
#endif

#if QUADS
alias Values = vec4<f32>;
const WIDTH = COLUMNS / 4u;
fn gated(gate: Values, up: Values) -> Values { return gated4(gate, up); }
#else
alias Values = f32;
const WIDTH = COLUMNS;
fn gated(gate: Values, up: Values) -> Values { return gated4(vec4(gate), vec4(up)).x; }
#endif

#if OPERANDS == "stacked"
@group(0) @binding(0) var<storage, read> x: array<Values>; // [R, 2 · COLUMNS]
@group(0) @binding(1) var<storage, read_write> output: array<Values>; // [R, COLUMNS]
#elif OPERANDS == "apart"
@group(0) @binding(0) var<storage, read> gate: array<Values>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> up: array<Values>; // [R, COLUMNS]
@group(0) @binding(2) var<storage, read_write> output: array<Values>; // [R, COLUMNS]
#else
@group(0) @binding(0) var<storage, read_write> output: array<Values>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> other: array<Values>; // [R, COLUMNS]
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let column = workgroup.x * WORKGROUP + local;
  if (column >= WIDTH) { return; }
  let row = workgroup.y * WIDTH;
  let at = row + column;
#if OPERANDS == "stacked"
  output[at] = gated(x[2u * row + column], x[2u * row + WIDTH + column]);
#elif OPERANDS == "apart"
  output[at] = gated(gate[at], up[at]);
#elif OPERANDS == "over gate"
  output[at] = gated(output[at], other[at]);
#else
  output[at] = gated(other[at], output[at]);
#endif
}
