// KIND "rms": RMSNorm (Zhang & Sennrich 2019), output[r] = x[r] / sqrt(mean(x[r]²) + epsilon) · gain.
// KIND "layer": LayerNorm (Ba et al. 2016), output[r] = (x[r] - mean) / sqrt(variance + epsilon) · gain (+ bias).
// A row has HEADS heads, each of which is normed so by itself, with the same gain. One workgroup a head. ADD: the results are
// added to what the output has.
#include "common/workgroup-sum.wgsl"

struct Params {
  // Where gain and bias begin in `vectors`.
  gain: u32,
  bias: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, HEADS, COLUMNS]
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, HEADS, COLUMNS]
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
  let row = (workgroup.x * HEADS + workgroup.y) * COLUMNS;

#if KIND == "layer"
  var total = 0.0;
  for (var c = local; c < COLUMNS; c += WORKGROUP) { total += x[row + c]; }
  let roughMean = workgroupSum(total, local, subgroup, subgroups) / f32(COLUMNS);
  // The corrected two-pass algorithm (Chan, Golub & LeVeque 1983): what the differences from the mean add up to is how far
  // its rounding put it. A large mean costs no digits.
  var rest = 0.0;
#else
  const roughMean = 0.0;
#endif
  var squares = 0.0;
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    let value = x[row + c] - roughMean;
    squares += value * value;
#if KIND == "layer"
    rest += value;
#endif
  }
  var mean = workgroupSum(squares, local, subgroup, subgroups) / f32(COLUMNS);
#if KIND == "layer"
  let correction = workgroupSum(rest, local, subgroup, subgroups) / f32(COLUMNS);
  mean = max(mean - correction * correction, 0.0);
#else
  const correction = 0.0;
#endif
  let scale = 1.0 / sqrt(mean + params.epsilon);
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    var value = ((x[row + c] - roughMean) - correction) * scale * vectors[params.gain + c];
#if BIAS
    value += vectors[params.bias + c];
#endif
#if ADD
    output[row + c] += value;
#else
    output[row + c] = value;
#endif
  }
}
