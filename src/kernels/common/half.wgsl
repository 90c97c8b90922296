#if FORMAT == "f16"
// One f16 as f32. unpack2x16float may flush subnormals to zero; this does not.
fn halfToFloat(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = half & 0x7c00u;
  let fraction = half & 0x3ffu;
  if (exponent == 0u) { return bitcast<f32>(sign | bitcast<u32>(f32(fraction) * 0x1p-24f)); }
  if (exponent == 0x7c00u) { return bitcast<f32>(sign | 0x7f800000u | (fraction << 13u)); }
  return bitcast<f32>(sign | (((half & 0x7fffu) << 13u) + 0x38000000u));
}

fn unpackHalves(word: u32) -> vec2<f32> {
  return vec2<f32>(halfToFloat(word & 0xffffu), halfToFloat(word >> 16u));
}
#endif
