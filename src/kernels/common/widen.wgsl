// Four weights of a row as f32, in order, from words as the checkpoint stores them: f32 one to a word, bf16 and f16 two
// to a word (the lower half is the even column), "i8-row" four to a word, which the row's scale then multiplies. This
// is exact, but for bf16 and f32 subnormals, which WGSL allows an adapter to flush. The constant FORMAT is a name of
// kernels/format.ts. Of "int8" and "int4", whose rows are as quantized/quantize-rows.as.ts has them, quads of a chunk come as
// integers, to which scales and zeros are applied.
#if FORMAT == "f32"
fn widen4(words: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(words); }
#elif FORMAT == "bf16"
fn widen4(words: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}
#elif FORMAT == "i8-row"
fn widen4(word: u32) -> vec4<f32> {
  return vec4<f32>(bitcast<vec4<i32>>(vec4(word) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}
#elif FORMAT == "f16"
#include "common/half.wgsl"
fn widen4(words: vec2<u32>) -> vec4<f32> { return widenPairs(words); }
#elif FORMAT == "int8"
const QUADS_PER_CHUNK = 4u;
const GROUP_QUADS = 8u;
// q - 128 of columns 4 j .. 4 j + 3 of a chunk, from its words with `flipSigns`.
fn flipSigns(chunk: vec4<u32>) -> vec4<u32> { return chunk ^ vec4(0x80808080u); }
fn quadOf(flipped: vec4<u32>, j: u32) -> vec4<f32> {
  return vec4<f32>(bitcast<vec4<i32>>(flipped << vec4(24u - 8u * j)) >> vec4(24u));
}
fn groupScale(stored: u32) -> f32 { return bitcast<f32>(stored << 16u); }
#elif FORMAT == "int4"
const QUADS_PER_CHUNK = 8u;
const GROUP_QUADS = 8u;
// q of columns 4 j .. 4 j + 3 of a chunk.
fn quadOf(chunk: vec4<u32>, j: u32) -> vec4<f32> { return vec4<f32>((chunk >> vec4(4u * j)) & vec4(15u)); }
// 2^(e - 15) (1 + m / 16) of a group's upper byte: e and m are the upper bits of an f32 whose exponent is biased by 112 more.
fn groupScale(stored: u32) -> f32 { return bitcast<f32>(((stored >> 8u) << 19u) + 0x38000000u); }
fn groupZero(stored: u32) -> f32 { return f32(stored & 255u) * 0.0625; }
#endif
