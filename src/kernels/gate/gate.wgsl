// output[r] = activation(gate[r]) · up[r] (Shazeer 2020). The operands are the halves of a row, buffers of their own, or
// one of them is overwritten. Dispatch (groups of columns, rows).
#include "common/activation.wgsl"

#if QUADS
alias Values = vec4<f32>;
const WIDTH = COLUMNS / 4u;
fn gated(gate: Values, up: Values) -> Values { return activate4(gate) * up; }
#else
alias Values = f32;
const WIDTH = COLUMNS;
fn gated(gate: Values, up: Values) -> Values { return activate1(gate) * up; }
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
