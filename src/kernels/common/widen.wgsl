// Weights as f32, from words as the checkpoint stores them: bf16 and f16 two to a word (the lower half is the even
// column), f32 one to a word. Exact, but for subnormals, which WGSL allows an adapter to flush.
// Constant FORMAT: "bf16", "f16" or "f32".
#if FORMAT == f32
const WORD_COLUMNS = 1u;

// Column `column` of a row; `word` is word column / WORD_COLUMNS of that row.
fn widenColumn(word: u32, column: u32) -> f32 { return bitcast<f32>(word); }

// Four columns in order.
fn widen4(words: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(words); }
#else
const WORD_COLUMNS = 2u;

#if FORMAT == bf16
fn widen2(word: u32) -> vec2<f32> {
  return vec2(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

// Four columns in order.
fn widen4(words: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}
#elif FORMAT == f16
fn widen2(word: u32) -> vec2<f32> { return unpack2x16float(word); }

// Four columns in order.
fn widen4(words: vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}
#endif

// Column `column` of a row; `word` is word column / WORD_COLUMNS of that row.
fn widenColumn(word: u32, column: u32) -> f32 { return widen2(word)[column & 1u]; }
#endif
