// AssemblyScript. One row of int8 activations against quantised weights. Both groups of an int4 unit are multiplied in one walk over
// its lines and the tile's sums stay in registers, so that as few instructions as possible stand between two lines from memory. The
// order of additions, and so every bit, is that of product.as.ts.

import { PANEL, TILE_COLUMNS } from "../common/simd.as";
import { zeros } from "../linear/tile.as";
import { wordsOf } from "../linear/widen.as";
import { packedRowsBytes } from "./activations.as";
import {
  addTile, bytesOf, dot, DOT_16, DOT_32, DOT_PLAIN, EIGHT_FIRST, EIGHT_SECOND, FOUR_HIGH, FOUR_LOW, groupScale, groupZero,
  lowNibbles, scaled, sumOf,
} from "./arithmetic.as";
import { INT4 } from "./layout.as";

/** T [16] = the products of one row with a tile of `units` units. first, second: the kinds of a unit's groups. */
@inline
function rowTile(first: i32, second: i32, DOT: i32, A: usize, B: usize, units: i32, T: usize): void {
  const Z = zeros();
  const mask = lowNibbles();
  const next = <usize>units << 3;
  let S = A + (<usize>units << 6);
  let X = S + (first == EIGHT_FIRST ? 2 * next : next);
  let t0 = v128.load(Z), t1 = v128.load(Z, 16), t2 = v128.load(Z, 32), t3 = v128.load(Z, 48);
  for (let unit = 0; unit < units; unit++) {
    let a0 = v128.load(Z), a1 = v128.load(Z, 16), a2 = v128.load(Z, 32), a3 = v128.load(Z, 48);
    let b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    for (let line = 0; line < 8; line++) {
      const x = v128.load32_splat(A);
      const w0 = v128.load(B), w1 = v128.load(B, 16), w2 = v128.load(B, 32), w3 = v128.load(B, 48);
      a0 = dot(DOT, x, bytesOf(first, w0, mask), a0);
      a1 = dot(DOT, x, bytesOf(first, w1, mask), a1);
      a2 = dot(DOT, x, bytesOf(first, w2, mask), a2);
      a3 = dot(DOT, x, bytesOf(first, w3, mask), a3);
      if (first == FOUR_LOW) {
        const other = v128.load32_splat(A, 32);
        b0 = dot(DOT, other, bytesOf(second, w0, mask), b0);
        b1 = dot(DOT, other, bytesOf(second, w1, mask), b1);
        b2 = dot(DOT, other, bytesOf(second, w2, mask), b2);
        b3 = dot(DOT, other, bytesOf(second, w3, mask), b3);
      }
      A += 4;
      B += 64;
    }
    if (first == EIGHT_FIRST) {
      for (let line = 0; line < 8; line++) {
        const x = v128.load32_splat(A);
        b0 = dot(DOT, x, v128.load(B), b0);
        b1 = dot(DOT, x, v128.load(B, 16), b1);
        b2 = dot(DOT, x, v128.load(B, 32), b2);
        b3 = dot(DOT, x, v128.load(B, 48), b3);
        A += 4;
        B += 64;
      }
    } else A += 32;
    const at = B;
    let rowScale = v128.load32_splat(S), shift = v128.load32_splat(X);
    const as0 = groupScale(first, at);
    const as1 = groupScale(first, at + 16);
    const as2 = groupScale(first, at + 32);
    const as3 = groupScale(first, at + 48);
    t0 = scaled(first, sumOf(DOT, a0), as0, groupZero(first, at, as0), rowScale, shift, t0);
    t1 = scaled(first, sumOf(DOT, a1), as1, groupZero(first, at + 16, as1), rowScale, shift, t1);
    t2 = scaled(first, sumOf(DOT, a2), as2, groupZero(first, at + 32, as2), rowScale, shift, t2);
    t3 = scaled(first, sumOf(DOT, a3), as3, groupZero(first, at + 48, as3), rowScale, shift, t3);
    rowScale = v128.load32_splat(S, 4);
    shift = v128.load32_splat(X, 4);
    const bs0 = groupScale(second, at);
    const bs1 = groupScale(second, at + 16);
    const bs2 = groupScale(second, at + 32);
    const bs3 = groupScale(second, at + 48);
    t0 = scaled(second, sumOf(DOT, b0), bs0, groupZero(second, at, bs0), rowScale, shift, t0);
    t1 = scaled(second, sumOf(DOT, b1), bs1, groupZero(second, at + 16, bs1), rowScale, shift, t1);
    t2 = scaled(second, sumOf(DOT, b2), bs2, groupZero(second, at + 32, bs2), rowScale, shift, t2);
    t3 = scaled(second, sumOf(DOT, b3), bs3, groupZero(second, at + 48, bs3), rowScale, shift, t3);
    B += 64;
    S += 8;
    X += 8;
  }
  v128.store(T, t0);
  v128.store(T, t1, 16);
  v128.store(T, t2, 32);
  v128.store(T, t3, 48);
}

function eight_plain(A: usize, B: usize, units: i32, T: usize): void {
  rowTile(EIGHT_FIRST, EIGHT_SECOND, DOT_PLAIN, A, B, units, T);
}
function eight_32(A: usize, B: usize, units: i32, T: usize): void {
  rowTile(EIGHT_FIRST, EIGHT_SECOND, DOT_32, A, B, units, T);
}
function four_plain(A: usize, B: usize, units: i32, T: usize): void {
  rowTile(FOUR_LOW, FOUR_HIGH, DOT_PLAIN, A, B, units, T);
}
function four_32(A: usize, B: usize, units: i32, T: usize): void {
  rowTile(FOUR_LOW, FOUR_HIGH, DOT_32, A, B, units, T);
}
function four_16(A: usize, B: usize, units: i32, T: usize): void {
  rowTile(FOUR_LOW, FOUR_HIGH, DOT_16, A, B, units, T);
}

/** `gemm_quantized` of one row, which was quantised alone; T: scratch of 16 f32. */
export function gemv_quantized(
  a: usize, w: usize, panels: i32, first: i32, count: i32, y: usize, columns: i32, accumulate: i32, T: usize, format: i32, DOT: i32,
): void {
  const rowScales = format == INT4 ? w + (<usize>(panels * wordsOf(columns, format)) << 6) : 0;
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const units = (width + 63) >> 6;
    const add = accumulate | from;
    const tileBytes = <usize>wordsOf(width, format) << 6;
    let B = w + <usize>first * tileBytes;
    for (let p = first; p < first + count; p++) {
      if (format == INT4) {
        if (!ASC_FEATURE_RELAXED_SIMD) four_plain(a, B, units, T);
        else if (DOT == DOT_32) four_32(a, B, units, T);
        else four_16(a, B, units, T);
      } else if (ASC_FEATURE_RELAXED_SIMD && DOT == DOT_32) eight_32(a, B, units, T);
      else eight_plain(a, B, units, T);
      addTile(1, T, rowScales ? rowScales + (<usize>p << 6) : 0, y + (<usize>(p * PANEL) << 2), 0, add);
      B += tileBytes;
    }
    w += <usize>panels * tileBytes;
    a += packedRowsBytes(1, units);
  }
}
