// output[i] = activation(input[i]). One invocation an element.
#include "common/rows.wgsl"
#include "common/activation.wgsl"

#if IN_PLACE
@group(0) @binding(0) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> rows: array<u32>;
#else
@group(0) @binding(0) var<storage, read> input: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
@group(0) @binding(2) var<storage, read> rows: array<u32>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let c = workgroup.x * WORKGROUP + local;
  let r = workgroup.y;
  if (c >= COLUMNS || r >= rowCount()) { return; }
  let at = r * COLUMNS + c;
#if IN_PLACE
  output[at] = activate1(output[at]);
#else
  output[at] = activate1(input[at]);
#endif
}
