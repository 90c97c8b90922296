// output[r][c] = Σ_i weight of expert i · products[CHOSEN r + i][c], in the order of i, or output += that. One invocation an
// element; dispatch (groups of columns, rows).

@group(0) @binding(0) var<storage, read> products: array<f32>; // [lines, COLUMNS]
@group(0) @binding(1) var<storage, read> routes: array<f32>; // [R, 2 CHOSEN]: experts, then weights
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, COLUMNS]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let c = workgroup.x * WORKGROUP + local;
  if (c >= COLUMNS) { return; }
  let r = workgroup.y;
  var sum = 0.0;
  for (var i = 0u; i < CHOSEN; i++) {
    sum += routes[r * 2u * CHOSEN + CHOSEN + i] * products[(r * CHOSEN + i) * COLUMNS + c];
  }
#if ADD
  output[r * COLUMNS + c] += sum;
#else
  output[r * COLUMNS + c] = sum;
#endif
}
