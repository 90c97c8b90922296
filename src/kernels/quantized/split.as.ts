// AssemblyScript. int8 weights where no instruction sums four products to 32 bits: each weight is split into its halves of four
// bits, whose products with activations fit sums of 16 bits over a whole group. The sums are those of product.as.ts, and so is every
// bit of what is made of them. The wide build alone does it so: in 128 bits, products of 16 bits are as fast for many rows and
// faster for one.
//
// See linear/tile.as.ts for the rules of 256-bit code.

import { zeros } from "../linear/tile.as";
import { DOT_16, dot, EIGHT_FIRST, EIGHT_SECOND, groupScale, highNibbles, lowNibbles, scaled, splitSum } from "./arithmetic.as";
import { LINES_BYTES } from "./layout.as";

/**
 * T[m, 0..16) = I[m, 0..16) + the products of one group, for M (1 or 2) of the `height` rows of a tile. A: [8][height] words of
 * activations; S: their scales, X: their shifts. B: the group's lines, `at`: the line of scales.
 */
@inline
function group(M: i32, kind: i32, height: i32, A: usize, S: usize, X: usize, B: usize, at: usize, T: usize, I: usize, ldi: usize): void {
  const mask = lowNibbles();
  const Z = zeros();
  let a0 = v128.load(Z), a1 = v128.load(Z, 16), a2 = v128.load(Z, 32), a3 = v128.load(Z, 48);
  let b0 = a0, b1 = a1, b2 = a2, b3 = a3;
  let c0 = a0, c1 = a1, c2 = a2, c3 = a3;
  let d0 = a0, d1 = a1, d2 = a2, d3 = a3;
  for (let line = 0; line < 8; line++) {
    const q0 = v128.load(B), q1 = v128.load(B, 16), q2 = v128.load(B, 32), q3 = v128.load(B, 48);
    const l0 = v128.and(q0, mask), l1 = v128.and(q1, mask), l2 = v128.and(q2, mask), l3 = v128.and(q3, mask);
    const h0 = highNibbles(q0, mask), h1 = highNibbles(q1, mask), h2 = highNibbles(q2, mask), h3 = highNibbles(q3, mask);
    let x = v128.load32_splat(A);
    a0 = dot(DOT_16, x, l0, a0);
    a1 = dot(DOT_16, x, l1, a1);
    b0 = dot(DOT_16, x, h0, b0);
    b1 = dot(DOT_16, x, h1, b1);
    a2 = dot(DOT_16, x, l2, a2);
    a3 = dot(DOT_16, x, l3, a3);
    b2 = dot(DOT_16, x, h2, b2);
    b3 = dot(DOT_16, x, h3, b3);
    if (M > 1) {
      x = v128.load32_splat(A, 4);
      c0 = dot(DOT_16, x, l0, c0);
      c1 = dot(DOT_16, x, l1, c1);
      d0 = dot(DOT_16, x, h0, d0);
      d1 = dot(DOT_16, x, h1, d1);
      c2 = dot(DOT_16, x, l2, c2);
      c3 = dot(DOT_16, x, l3, c3);
      d2 = dot(DOT_16, x, h2, d2);
      d3 = dot(DOT_16, x, h3, d3);
    }
    A += <usize>height << 2;
    B += 64;
  }
  const s0 = groupScale(kind, at), s1 = groupScale(kind, at + 16);
  const s2 = groupScale(kind, at + 32), s3 = groupScale(kind, at + 48);
  a0 = splitSum(a0, b0);
  a1 = splitSum(a1, b1);
  a2 = splitSum(a2, b2);
  a3 = splitSum(a3, b3);
  finish(kind, a0, a1, a2, a3, s0, s1, s2, s3, S, X, T, I);
  if (M > 1) {
    c0 = splitSum(c0, d0);
    c1 = splitSum(c1, d1);
    c2 = splitSum(c2, d2);
    c3 = splitSum(c3, d3);
    finish(kind, c0, c1, c2, c3, s0, s1, s2, s3, S + 4, X + 4, T + 64, I + ldi);
  }
}

/** The end of a group for one row. */
@inline
function finish(
  kind: i32, v0: v128, v1: v128, v2: v128, v3: v128, s0: v128, s1: v128, s2: v128, s3: v128,
  S: usize, X: usize, T: usize, I: usize,
): void {
  const rowScale = v128.load32_splat(S), shift = v128.load32_splat(X);
  v0 = scaled(kind, v0, s0, s0, rowScale, shift, v128.load(I));
  v1 = scaled(kind, v1, s1, s1, rowScale, shift, v128.load(I, 16));
  v2 = scaled(kind, v2, s2, s2, rowScale, shift, v128.load(I, 32));
  v3 = scaled(kind, v3, s3, s3, rowScale, shift, v128.load(I, 48));
  v128.store(T, v0);
  v128.store(T, v1, 16);
  v128.store(T, v2, 32);
  v128.store(T, v3, 48);
}

/** T [M][16] = the products of M of the `height` rows of a tile with a tile of `units` units. */
@inline
function rowsOf(M: i32, height: i32, A: usize, S: usize, B: usize, units: i32, T: usize): void {
  const shifts = <usize>(units * height) << 4;
  const integers = <usize>height << 5, scales = <usize>height << 2;
  let I = zeros();
  let ldi: usize = 0;
  for (let unit = 0; unit < units; unit++) {
    const at = B + 2 * LINES_BYTES;
    group(M, EIGHT_FIRST, height, A, S, S + shifts, B, at, T, I, ldi);
    A += integers;
    S += scales;
    group(M, EIGHT_SECOND, height, A, S, S + shifts, B + LINES_BYTES, at, T, T, 64);
    A += integers;
    S += scales;
    B = at + 64;
    I = T;
    ldi = 64;
  }
}

function split_1(height: i32, A: usize, S: usize, B: usize, units: i32, T: usize): void {
  rowsOf(1, height, A, S, B, units, T);
}
function split_2(height: i32, A: usize, S: usize, B: usize, units: i32, T: usize): void {
  rowsOf(2, height, A, S, B, units, T);
}

/** T [height][16] = the products of a register tile of `height` rows with a tile of `units` units, two rows at a time. */
export function splitTile(height: i32, A: usize, B: usize, units: i32, T: usize): void {
  let S = A + (<usize>(units * height) << 6);
  let r = 0;
  for (; r + 1 < height; r += 2) {
    split_2(height, A, S, B, units, T);
    A += 8;
    S += 8;
    T += 128;
  }
  if (r < height) split_1(height, A, S, B, units, T);
}
