// Softmax numerators as integers, the same as softmax-weights.ts. `powers` is its table.
#include "sample/logit-keys.wgsl"

// round(2^31 · exp(-distance)) of an f32 distance >= 0.
fn softmaxWeight(distance: u32) -> u32 {
  if (distance >= 0x41b18000u) { return 0u; } // 22.1875
  // `fixed` is the distance in units of 2^-27.
  let exponent = distance >> 23u;
  let significand = (distance & 0x7fffffu) | 0x800000u;
  if (exponent < 100u) { return 0x80000000u; }
  var fixed = significand >> (123u - min(exponent, 123u));
  if (exponent > 123u) { fixed = significand << (exponent - 123u); }
  // `log2` is a power of two in units of 2^-26: a whole part, a table step, and a rest.
  let log2 = multiplyHigh(fixed, 0xb8aa3b29u);
  let whole = log2 >> 26u;
  let power = powers[(log2 >> 13u) & 8191u];
  let decrease = ((log2 & 8191u) * 45426u) >> 13u;
  let weight = power - multiplyHigh(power, decrease << 3u);
  if (whole == 0u) { return weight; }
  if (whole > 31u) { return 0u; }
  return ((weight >> (whole - 1u)) + 1u) >> 1u;
}

// The weight of a token with this key; 0 when it is out of the choice, or more than `farthest` (min-p) below the
// highest.
fn keyWeight(key: u32, highest: u32, farthest: u32) -> u32 {
  if (key <= MINUS_INFINITY_KEY) { return 0u; }
  let below = distanceBelow(valueOf(highest), valueOf(key));
  if (below > farthest) { return 0u; }
  return softmaxWeight(below);
}

// The distance beyond which nothing is weighed: that of min-p, but none with top-p, which comes first and counts all.
fn farthestWeighed() -> u32 { return select(params.farthest, INFINITY, params.removable > 0u); }

struct QuadWeights {
  weights: vec4<u32>,
  sum: vec2<u32>,
}

fn quadWeights(quad: u32, highest: u32) -> QuadWeights {
  let keys = scaledKeys(quad);
  var result: QuadWeights;
  for (var i = 0u; i < 4u; i++) {
    result.weights[i] = keyWeight(keys[i], highest, farthestWeighed());
    result.sum = add64(result.sum, vec2(result.weights[i], 0u));
  }
  return result;
}

fn chunkSum(chunk: u32) -> vec2<u32> { return vec2(work[SUMS + 2u * chunk], work[SUMS + 2u * chunk + 1u]); }
