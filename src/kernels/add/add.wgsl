// total[i] += input[i]. One invocation an element; dispatch (groups of columns, rows).

@group(0) @binding(0) var<storage, read> input: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read_write> total: array<f32>; // [R, COLUMNS]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let c = workgroup.x * WORKGROUP + local;
  if (c >= COLUMNS) { return; }
  let at = workgroup.y * COLUMNS + c;
  total[at] += input[at];
}
