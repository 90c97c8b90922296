// RMSNorm (Zhang & Sennrich 2019): output[r] = x[r] / sqrt(mean(x[r]²) + epsilon) · gain. One workgroup a row.
#include "common/workgroup-sum.wgsl"

struct Params {
  // Of the gain in `vectors`.
  gain: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if SUBGROUPS
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
#if !SUBGROUPS
  const subgroup = 0u;
  const subgroups = 0u;
#endif
  let row = workgroup.x * COLUMNS;
  var squares = 0.0;
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    let value = x[row + c];
    squares += value * value;
  }
  let mean = workgroupSum(squares, local, subgroup, subgroups) / f32(COLUMNS);
  let scale = 1.0 / sqrt(mean + params.epsilon);
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    output[row + c] = x[row + c] * scale * vectors[params.gain + c];
  }
}
