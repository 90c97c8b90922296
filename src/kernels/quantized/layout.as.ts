// AssemblyScript. How quantised weights lie in memory. A tile has 16 rows by up to 256 columns, as tiles of other formats do
// (linear/panels.as.ts), in units of 64 columns: two groups of 32 that share a scale. A line is 64 bytes, one word for each of the
// 16 rows.
//
// int8: 16 lines of four columns each, then a line of scales: the first group's bf16 in the low half of a word, the second's in
// the high half. w = s (q - 128), q in 1 .. 255.
//
// int4: eight lines whose bytes hold four columns of the first group in their low halves and the same four of the second group
// in their high halves, then a line of scales: for each group a byte z and a byte s. w = d s (q - z / 16), q in 0 .. 15. s has
// four bits of exponent and four of mantissa, 2^-15 .. 1.9375; d, f32, is the row's, and lies behind all tiles.
//
// Columns that a row does not have are zero on the side of the activations: what stands there does not count.

/** The formats, by the numbers of kernels/format.ts. */
export const INT8: i32 = 4;
export const INT4: i32 = 5;

/** Bytes of the lines of one group as int8, or of two as int4. */
export const LINES_BYTES: usize = 512;

/** The largest scale of a group: 1.9375. */
export const LARGEST_SCALE: f32 = 1.9375;

// Masks of a scale's bits in either half, of a byte, and what makes the exponent of the least one 2^-15.
const CONSTANTS: usize = memory.data<u32>([0xffff0000, 0x0000ff00, 0x07f80000, 0x000000ff, 0x38000000]);

/** Scales of four rows of their words. kind: 0, 1: int8, first and second group; 2, 3: int4. */
@inline
export function scaleOf(kind: i32, words: v128): v128 {
  if (kind == 0) return i32x4.shl(words, 16);
  if (kind == 1) return v128.and(words, v128.load32_splat(CONSTANTS));
  const bits = kind == 2
    ? i32x4.shl(v128.and(words, v128.load32_splat(CONSTANTS, 4)), 11)
    : v128.and(i32x4.shr_u(words, 5), v128.load32_splat(CONSTANTS, 8));
  return i32x4.add(bits, v128.load32_splat(CONSTANTS, 16));
}

/** Zeros of four rows, in sixteenths, of int4 words; kind: 2 the first group, 3 the second. */
@inline
export function zeroOf(kind: i32, words: v128): v128 {
  return f32x4.convert_i32x4_s(v128.and(kind == 2 ? words : i32x4.shr_u(words, 16), v128.load32_splat(CONSTANTS, 12)));
}

/** The scale of a byte, as in an int4 word. */
@inline
export function scaleOfByte(byte: i32): f32 {
  return reinterpret<f32>((byte << 19) + 0x38000000);
}
