// output[r] = silu(gate[r]) · up[r], where a row of the input is [gate; up] (Shazeer 2020, SwiGLU).
// Dispatch (groups of columns, rows).
#include "common/silu.wgsl"

#if QUADS
alias Values = vec4<f32>;
const WIDTH = COLUMNS / 4u;
fn gated(gate: Values, up: Values) -> Values {
  return vec4(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w)) * up;
}
#else
alias Values = f32;
const WIDTH = COLUMNS;
fn gated(gate: Values, up: Values) -> Values { return silu(gate) * up; }
#endif

@group(0) @binding(0) var<storage, read> x: array<Values>; // [R, 2 · COLUMNS]
@group(0) @binding(1) var<storage, read_write> output: array<Values>; // [R, COLUMNS]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let column = workgroup.x * WORKGROUP + local;
  if (column >= WIDTH) { return; }
  let row = workgroup.y * WIDTH;
  output[row + column] = gated(x[2u * row + column], x[2u * row + WIDTH + column]);
}
