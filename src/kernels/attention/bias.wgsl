// The params of attention, the sinks of heads (SINKS), and the biases of scores by the distance of a key (score-bias.ts has the
// formulas). BIAS: "none", "linear", "rounded" or "table".
struct Params {
  scale: f32,
  // The soft cap of scores (SOFT_CAP).
  cap: f32,
  // Where the sinks begin among the vectors (SINKS).
  sinks: u32,
#if BIAS != "none"
  // Factor of "rounded".
  biasScale: f32,
  // Where the table begins among the vectors, and how far it reaches.
  table: u32,
  reach: i32,
#if BIAS != "table"
  slopes: array<vec4<f32>, (HEADS + 3u) / 4u>,
#endif
#endif
}

@group(0) @binding(PARAMS_BINDING) var<uniform> params: Params;

#if BIAS == "table" || SINKS
@group(0) @binding(PARAMS_BINDING - 1u) var<storage, read> vectors: array<f32>;
#endif

#if SINKS
#include "attention/sink.wgsl"
#endif

#if BIAS == "table"
fn scoreBias(head: u32, key: u32, position: u32) -> f32 {
  let distance = clamp(i32(key) - i32(position), -params.reach, params.reach);
  return vectors[params.table + head * u32(2 * params.reach + 1) + u32(distance + params.reach)];
}
#endif

#if BIAS == "linear"
fn scoreBias(head: u32, key: u32, position: u32) -> f32 {
  return params.slopes[head / 4u][head % 4u] * f32(i32(key) - i32(position));
}
#endif

#if BIAS == "rounded"
// The nearest bf16 number of a finite one, ties to even.
fn nearestBf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
}

fn scoreBias(head: u32, key: u32, position: u32) -> f32 {
  let slope = params.slopes[head / 4u][head % 4u];
  let own = nearestBf16(slope * nearestBf16(f32(position)));
  return (nearestBf16(slope * nearestBf16(f32(key))) - own) * params.biasScale;
}
#endif
