// float16 by hand: what WGSL has for it may flush subnormals, and rounds as an adapter likes.

// Halves in the lower bits of words, as f32: exact.
fn widenHalves(halves: vec4<u32>) -> vec4<f32> {
  let magnitude = halves & vec4(0x7fffu);
  let subnormal = bitcast<vec4<u32>>(vec4<f32>(magnitude) * 0x1p-24f);
  let normal = (magnitude << vec4(13u)) + vec4(0x38000000u);
  let special = (magnitude << vec4(13u)) | vec4(0x7f800000u);
  let bits = select(select(normal, special, magnitude >= vec4(0x7c00u)), subnormal, magnitude < vec4(0x400u));
  return bitcast<vec4<f32>>(bits | ((halves & vec4(0x8000u)) << vec4(16u)));
}

// Four halves of two words, the even ones in the lower bits.
fn widenPairs(words: vec2<u32>) -> vec4<f32> {
  return widenHalves(vec4(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
}
