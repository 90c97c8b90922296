// gate[i] = silu(gate[i]) · up[i]. One invocation an element.
#include "common/rows.wgsl"
#include "common/silu.wgsl"

@group(0) @binding(0) var<storage, read_write> gate: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> up: array<f32>; // [R, COLUMNS]
@group(0) @binding(2) var<storage, read> rows: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let c = workgroup.x * WORKGROUP + local;
  let r = workgroup.y;
  if (c >= COLUMNS || r >= rowCount()) { return; }
  let at = r * COLUMNS + c;
  gate[at] = silu(gate[at]) * up[at];
}
