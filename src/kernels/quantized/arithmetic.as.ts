// AssemblyScript. The arithmetic of products with quantised weights, for one row and for many.
//
// A weight is unsigned (layout.as.ts): w = s (q - zero), so that sum of w x over a group is s sx (sum of q qx - zero sum of qx).
// The difference is a multiple of 1/16 below 2^24 / 16, exact in f32 with or without fused operations; only the products with
// scales and the sums over groups round. Whatever multiplies the integers (`DOT`), the bits are the same.

import { madd } from "../common/simd.as";
import { zeros } from "../linear/tile.as";
import { scaleOf, zeroOf } from "./layout.as";

/** How integers are multiplied: 16-bit products, for every engine. */
export const DOT_PLAIN: i32 = 0;
/** Four products of 8 bits summed to 32 bits by one instruction, whose second operand is unsigned. */
export const DOT_32: i32 = 1;
/** Two products of 8 bits summed to 16 bits; the second operand has seven bits. */
export const DOT_16: i32 = 2;

/** Where a group's weights and scales are: int8, first and second group of a unit. */
export const EIGHT_FIRST: i32 = 0;
export const EIGHT_SECOND: i32 = 1;
/** int4: the low and the high halves of bytes. */
export const FOUR_LOW: i32 = 2;
export const FOUR_HIGH: i32 = 3;
/** int4, unpacked by `unpack`: bytes, and f32 scales and zeros. */
export const UNPACKED: i32 = 4;

const MASKS: usize = memory.data<u32>([
  0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x00ff00ff, 0x00ff00ff, 0x00ff00ff, 0x00ff00ff,
  0x00010001, 0x00010001, 0x00010001, 0x00010001,
]);

/** Adds to `sum` the products of four weights of each of four rows with four activations, which are in every lane. */
@inline
export function dot(DOT: i32, x: v128, q: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (DOT == DOT_32) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, q, sum);
    if (DOT == DOT_16) return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, q));
  }
  const even = i32x4.dot_i16x8_s(v128.and(q, v128.load(MASKS, 16)), i16x8.shr_s(i16x8.shl(x, 8), 8));
  return i32x4.add(i32x4.add(sum, even), i32x4.dot_i16x8_s(i16x8.shr_u(q, 8), i16x8.shr_s(x, 8)));
}

/** Weights of a line, as bytes. */
@inline
export function bytesOf(kind: i32, line: v128, mask: v128): v128 {
  if (kind == FOUR_LOW) return v128.and(line, mask);
  if (kind == FOUR_HIGH) return v128.and(i16x8.shr_u(line, 4), mask);
  return line;
}

/** A group's sums as f32. */
@inline
export function sumOf(DOT: i32, sum: v128): v128 {
  if (DOT == DOT_16) return f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(sum, v128.load(MASKS, 32)));
  return f32x4.convert_i32x4_s(sum);
}

/** Adds a finished group of four outputs to `to`; `shift`: sum of qx, times -zero for int8 and times -1/16 otherwise. */
@inline
export function scaled(kind: i32, sum: v128, scale: v128, zero: v128, rowScale: v128, shift: v128, to: v128): v128 {
  const exact = kind == EIGHT_FIRST || kind == EIGHT_SECOND ? f32x4.add(sum, shift) : madd(zero, shift, sum);
  return madd(exact, f32x4.mul(scale, rowScale), to);
}

/** The scales of four outputs; `at` is their place in the line of scales. */
@inline
export function groupScale(kind: i32, at: usize): v128 {
  return kind == UNPACKED ? v128.load(at) : scaleOf(kind, v128.load(at));
}

/** The zeros of four outputs, in sixteenths; none for int8, whose zero is the same everywhere. */
@inline
export function groupZero(kind: i32, at: usize, scale: v128): v128 {
  if (kind == UNPACKED) return v128.load(at, 64);
  return kind == FOUR_LOW || kind == FOUR_HIGH ? zeroOf(kind, v128.load(at)) : scale;
}

/** The mask of low halves of bytes. */
@inline
export function lowNibbles(): v128 {
  return v128.load(MASKS);
}

/** y[m, 0..16) (+)= T[m, 0..16), multiplied by the scales of whole rows at `d` where the format has them. */
export function addTile(rows: i32, T: usize, d: usize, y: usize, ldy: usize, add: i32): void {
  for (let r = 0; r < rows; r++) {
    const init = add ? y : zeros();
    for (let c: usize = 0; c < 64; c += 16) {
      const t = v128.load(T + c), i = v128.load(init + c);
      v128.store(y + c, d ? madd(t, v128.load(d + c), i) : f32x4.add(t, i));
    }
    T += 64;
    y += ldy;
  }
}
