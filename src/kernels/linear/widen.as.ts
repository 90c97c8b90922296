// AssemblyScript. How a word (32 bits of a weight row) becomes f32. A word holds one f32, or two 16-bit weights of
// neighbouring columns: the even column in the low half, the odd one in the high half; or four bytes, the first one lowest.
//
// f16: shifting sign, exponent and mantissa to their f32 places gives the value times 2^-112, exactly, subnormals
// included (they become f32 subnormals). The scale is undone by one multiplication: of the activations and of the
// finished dot in gemv, of each weight when a panel is widened for gemm. Infinities and NaN do not occur in weights
// (the loader does not look for them); they would become large finite numbers.

/**
 * 32-bit words of a row that `columns` columns take in a tile. format: 0 f32, 1 f16, 2 bf16, 3 i8 with a scale a row, 4 int8 and 5
 * int4 in groups, which come in units of 64 columns, a word of scales in each (quantized/layout.as.ts).
 */
@inline
export function wordsOf(columns: i32, format: i32): i32 {
  if (format > 3) return ((columns + 63) >> 6) * (format == 4 ? 17 : 9);
  return format == 0 ? columns : format == 3 ? (columns + 3) >> 2 : (columns + 1) >> 1;
}

/** Byte `j` of each word, signed, as f32. */
@inline
export function byteOf(word: v128, j: i32): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(word, 24 - 8 * j), 24));
}

/** Low half of each word as a bf16 number. */
@inline
export function bf16Even(word: v128): v128 {
  return i32x4.shl(word, 16);
}

/** High half of each word as a bf16 number; `mask` is 0xffff0000 in every lane. */
@inline
export function bf16Odd(word: v128, mask: v128): v128 {
  return v128.and(word, mask);
}

/** Low half of each word as an f16 number, times 2^-112; `mask` is 0x8fffe000 in every lane. */
@inline
export function f16Even(word: v128, mask: v128): v128 {
  return v128.and(i32x4.shr_s(i32x4.shl(word, 16), 3), mask);
}

/** High half of each word as an f16 number, times 2^-112; `mask` as for the low half. */
@inline
export function f16Odd(word: v128, mask: v128): v128 {
  return v128.and(i32x4.shr_s(word, 3), mask);
}

const SCALES: usize = memory.data<f32>([5192296858534827628530496329220096.0]); // 2^112
const MASKS: usize = memory.data<u32>([0xffff0000, 0x8fffe000]);

@inline
export function bf16Mask(): v128 {
  return v128.load32_splat(MASKS);
}

@inline
export function f16Mask(): v128 {
  return v128.load32_splat(MASKS, 4);
}

/** 2^112 in every lane. */
@inline
export function f16Scale(): v128 {
  return v128.load32_splat(SCALES);
}
