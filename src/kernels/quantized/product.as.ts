// AssemblyScript. Products of int8 activations with quantised weights: register tiles of 1 to 4 rows by 16 outputs. Integers are
// summed exactly over a group of 32 columns and multiplied with the scales of both sides then, in f32.
//
// The order of additions into an element: in each tile of TILE_COLUMNS columns the groups from zero, from left to right; the
// finished tiles are added to what is there. It depends neither on the number of rows nor on the build's width.
//
// WIDE: see linear/tile.as.ts, whose rules for 256-bit code hold here too.

import { PANEL, TILE_COLUMNS } from "../common/simd.as";
import { zeros } from "../linear/tile.as";
import { wordsOf } from "../linear/widen.as";
import { heightOf, packedRowsBytes, TILE } from "./activations.as";
import {
  addTile, bytesOf, dot, DOT_16, DOT_32, DOT_PLAIN, EIGHT_FIRST, EIGHT_SECOND, FOUR_HIGH, FOUR_LOW, groupScale, groupZero,
  lowNibbles, scaled, sumOf, UNPACKED,
} from "./arithmetic.as";
import { INT4, LINES_BYTES, scaleOf, zeroOf } from "./layout.as";

/** Bytes of an unpacked unit: two groups of LINES_BYTES, then scales and zeros of each. */
const UNPACKED_BYTES: usize = 2 * LINES_BYTES + 256;

/**
 * T[m, 0..16) = I[m, 0..16) + the products of one group, for M rows. A: [8][M] words of activations; S: their scales [M], with
 * the shifts of int4 and then those of int8 `next` and 2 `next` bytes further on. B: the group's lines, `at`: its scales. T has
 * 64 bytes a row, I `ldi`. Columns beyond 8 only in the wide build.
 */
@inline
function group(M: i32, kind: i32, DOT: i32, A: usize, S: usize, next: usize, B: usize, at: usize, T: usize, I: usize, ldi: usize): void {
  const mask = lowNibbles();
  const Z = zeros();
  let a0 = v128.load(Z), a1 = v128.load(Z, 16), a2 = a0, a3 = a0;
  if (WIDE) {
    a2 = v128.load(Z, 32);
    a3 = v128.load(Z, 48);
  }
  let b0 = a0, b1 = a1, b2 = a2, b3 = a3;
  let c0 = a0, c1 = a1, c2 = a2, c3 = a3;
  let d0 = a0, d1 = a1, d2 = a2, d3 = a3;
  for (let line = 0; line < 8; line++) {
    const w0 = bytesOf(kind, v128.load(B), mask), w1 = bytesOf(kind, v128.load(B, 16), mask);
    let w2 = w0, w3 = w0;
    if (WIDE) {
      w2 = bytesOf(kind, v128.load(B, 32), mask);
      w3 = bytesOf(kind, v128.load(B, 48), mask);
    }
    let x = v128.load32_splat(A);
    a0 = dot(DOT, x, w0, a0);
    a1 = dot(DOT, x, w1, a1);
    if (WIDE) {
      a2 = dot(DOT, x, w2, a2);
      a3 = dot(DOT, x, w3, a3);
    }
    if (M > 1) {
      x = v128.load32_splat(A, 4);
      b0 = dot(DOT, x, w0, b0);
      b1 = dot(DOT, x, w1, b1);
      if (WIDE) {
        b2 = dot(DOT, x, w2, b2);
        b3 = dot(DOT, x, w3, b3);
      }
    }
    if (M > 2) {
      x = v128.load32_splat(A, 8);
      c0 = dot(DOT, x, w0, c0);
      c1 = dot(DOT, x, w1, c1);
      if (WIDE) {
        c2 = dot(DOT, x, w2, c2);
        c3 = dot(DOT, x, w3, c3);
      }
    }
    if (M > 3) {
      x = v128.load32_splat(A, 12);
      d0 = dot(DOT, x, w0, d0);
      d1 = dot(DOT, x, w1, d1);
      if (WIDE) {
        d2 = dot(DOT, x, w2, d2);
        d3 = dot(DOT, x, w3, d3);
      }
    }
    A += <usize>M << 2;
    B += 64;
  }
  const s0 = groupScale(kind, at), s1 = groupScale(kind, at + 16);
  const z0 = groupZero(kind, at, s0), z1 = groupZero(kind, at + 16, s1);
  let s2 = s0, s3 = s0, z2 = z0, z3 = z0;
  if (WIDE) {
    s2 = groupScale(kind, at + 32);
    s3 = groupScale(kind, at + 48);
    z2 = groupZero(kind, at + 32, s2);
    z3 = groupZero(kind, at + 48, s3);
  }
  const X = S + (kind == EIGHT_FIRST || kind == EIGHT_SECOND ? 2 * next : next);
  finish(kind, DOT, a0, a1, a2, a3, s0, s1, s2, s3, z0, z1, z2, z3, S, X, T, I);
  if (M > 1) finish(kind, DOT, b0, b1, b2, b3, s0, s1, s2, s3, z0, z1, z2, z3, S + 4, X + 4, T + 64, I + ldi);
  if (M > 2) finish(kind, DOT, c0, c1, c2, c3, s0, s1, s2, s3, z0, z1, z2, z3, S + 8, X + 8, T + 128, I + 2 * ldi);
  if (M > 3) finish(kind, DOT, d0, d1, d2, d3, s0, s1, s2, s3, z0, z1, z2, z3, S + 12, X + 12, T + 192, I + 3 * ldi);
}

/** The end of a group for one row. */
@inline
function finish(
  kind: i32, DOT: i32, v0: v128, v1: v128, v2: v128, v3: v128, s0: v128, s1: v128, s2: v128, s3: v128,
  z0: v128, z1: v128, z2: v128, z3: v128, S: usize, X: usize, T: usize, I: usize,
): void {
  const rowScale = v128.load32_splat(S), shift = v128.load32_splat(X);
  v0 = scaled(kind, sumOf(DOT, v0), s0, z0, rowScale, shift, v128.load(I));
  v1 = scaled(kind, sumOf(DOT, v1), s1, z1, rowScale, shift, v128.load(I, 16));
  if (WIDE) {
    v2 = scaled(kind, sumOf(DOT, v2), s2, z2, rowScale, shift, v128.load(I, 32));
    v3 = scaled(kind, sumOf(DOT, v3), s3, z3, rowScale, shift, v128.load(I, 48));
  }
  v128.store(T, v0);
  v128.store(T, v1, 16);
  if (WIDE) {
    v128.store(T, v2, 32);
    v128.store(T, v3, 48);
  }
}

/** `group` over all sixteen outputs. */
@inline
function whole(M: i32, kind: i32, DOT: i32, A: usize, S: usize, next: usize, B: usize, at: usize, T: usize, I: usize, ldi: usize): void {
  group(M, kind, DOT, A, S, next, B, at, T, I, ldi);
  if (!WIDE) group(M, kind, DOT, A, S, next, B + 32, at + 32, T + 32, I + 32, ldi);
}

/** T [M][16] = the products of M rows with a tile of `units` units. `kind`: of the first group of a unit. */
@inline
function tile(M: i32, kind: i32, DOT: i32, A: usize, B: usize, units: i32, T: usize): void {
  const next = <usize>(units * M) << 3;
  let S = A + (<usize>(units * M) << 6);
  let I = zeros();
  let ldi: usize = 0;
  for (let unit = 0; unit < units; unit++) {
    const half = A + (<usize>M << 5), second = S + (<usize>M << 2);
    if (kind == EIGHT_FIRST) {
      whole(M, EIGHT_FIRST, DOT, A, S, next, B, B + 2 * LINES_BYTES, T, I, ldi);
      whole(M, EIGHT_SECOND, DOT, half, second, next, B + LINES_BYTES, B + 2 * LINES_BYTES, T, T, 64);
      B += 2 * LINES_BYTES + 64;
    } else if (kind == FOUR_LOW) {
      whole(M, FOUR_LOW, DOT, A, S, next, B, B + LINES_BYTES, T, I, ldi);
      whole(M, FOUR_HIGH, DOT, half, second, next, B, B + LINES_BYTES, T, T, 64);
      B += LINES_BYTES + 64;
    } else {
      whole(M, UNPACKED, DOT, A, S, next, B, B + 2 * LINES_BYTES, T, I, ldi);
      whole(M, UNPACKED, DOT, half, second, next, B + LINES_BYTES, B + 2 * LINES_BYTES + 128, T, T, 64);
      B += UNPACKED_BYTES;
    }
    A += <usize>M << 6;
    S += <usize>M << 3;
    I = T;
    ldi = 64;
  }
}

function eight_plain_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, EIGHT_FIRST, DOT_PLAIN, A, B, units, T);
}
function eight_plain_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, EIGHT_FIRST, DOT_PLAIN, A, B, units, T);
}
function eight_plain_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, EIGHT_FIRST, DOT_PLAIN, A, B, units, T);
}
function eight_plain_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, EIGHT_FIRST, DOT_PLAIN, A, B, units, T);
}

function eight_32_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, EIGHT_FIRST, DOT_32, A, B, units, T);
}
function eight_32_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, EIGHT_FIRST, DOT_32, A, B, units, T);
}
function eight_32_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, EIGHT_FIRST, DOT_32, A, B, units, T);
}
function eight_32_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, EIGHT_FIRST, DOT_32, A, B, units, T);
}

function four_plain_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, FOUR_LOW, DOT_PLAIN, A, B, units, T);
}
function four_plain_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, FOUR_LOW, DOT_PLAIN, A, B, units, T);
}
function four_plain_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, FOUR_LOW, DOT_PLAIN, A, B, units, T);
}
function four_plain_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, FOUR_LOW, DOT_PLAIN, A, B, units, T);
}

function four_32_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, FOUR_LOW, DOT_32, A, B, units, T);
}
function four_32_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, FOUR_LOW, DOT_32, A, B, units, T);
}
function four_32_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, FOUR_LOW, DOT_32, A, B, units, T);
}
function four_32_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, FOUR_LOW, DOT_32, A, B, units, T);
}

function four_16_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, FOUR_LOW, DOT_16, A, B, units, T);
}
function four_16_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, FOUR_LOW, DOT_16, A, B, units, T);
}
function four_16_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, FOUR_LOW, DOT_16, A, B, units, T);
}
function four_16_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, FOUR_LOW, DOT_16, A, B, units, T);
}

function unpacked_plain_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, UNPACKED, DOT_PLAIN, A, B, units, T);
}
function unpacked_plain_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, UNPACKED, DOT_PLAIN, A, B, units, T);
}
function unpacked_plain_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, UNPACKED, DOT_PLAIN, A, B, units, T);
}
function unpacked_plain_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, UNPACKED, DOT_PLAIN, A, B, units, T);
}

function unpacked_32_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, UNPACKED, DOT_32, A, B, units, T);
}
function unpacked_32_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, UNPACKED, DOT_32, A, B, units, T);
}
function unpacked_32_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, UNPACKED, DOT_32, A, B, units, T);
}
function unpacked_32_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, UNPACKED, DOT_32, A, B, units, T);
}

function unpacked_16_1(A: usize, B: usize, units: i32, T: usize): void {
  tile(1, UNPACKED, DOT_16, A, B, units, T);
}
function unpacked_16_2(A: usize, B: usize, units: i32, T: usize): void {
  tile(2, UNPACKED, DOT_16, A, B, units, T);
}
function unpacked_16_3(A: usize, B: usize, units: i32, T: usize): void {
  tile(3, UNPACKED, DOT_16, A, B, units, T);
}
function unpacked_16_4(A: usize, B: usize, units: i32, T: usize): void {
  tile(4, UNPACKED, DOT_16, A, B, units, T);
}

function eight_plain(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: eight_plain_1(A, B, units, T); break;
    case 2: eight_plain_2(A, B, units, T); break;
    default:
      if (WIDE) eight_plain_3(A, B, units, T);
      else if (rows == 3) eight_plain_3(A, B, units, T);
      else eight_plain_4(A, B, units, T);
  }
}

function eight_32(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: eight_32_1(A, B, units, T); break;
    case 2: eight_32_2(A, B, units, T); break;
    default:
      if (WIDE) eight_32_3(A, B, units, T);
      else if (rows == 3) eight_32_3(A, B, units, T);
      else eight_32_4(A, B, units, T);
  }
}

function four_plain(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: four_plain_1(A, B, units, T); break;
    case 2: four_plain_2(A, B, units, T); break;
    default:
      if (WIDE) four_plain_3(A, B, units, T);
      else if (rows == 3) four_plain_3(A, B, units, T);
      else four_plain_4(A, B, units, T);
  }
}

function four_32(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: four_32_1(A, B, units, T); break;
    case 2: four_32_2(A, B, units, T); break;
    default:
      if (WIDE) four_32_3(A, B, units, T);
      else if (rows == 3) four_32_3(A, B, units, T);
      else four_32_4(A, B, units, T);
  }
}

function four_16(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: four_16_1(A, B, units, T); break;
    case 2: four_16_2(A, B, units, T); break;
    default:
      if (WIDE) four_16_3(A, B, units, T);
      else if (rows == 3) four_16_3(A, B, units, T);
      else four_16_4(A, B, units, T);
  }
}

function unpacked_plain(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: unpacked_plain_1(A, B, units, T); break;
    case 2: unpacked_plain_2(A, B, units, T); break;
    default:
      if (WIDE) unpacked_plain_3(A, B, units, T);
      else if (rows == 3) unpacked_plain_3(A, B, units, T);
      else unpacked_plain_4(A, B, units, T);
  }
}

function unpacked_32(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: unpacked_32_1(A, B, units, T); break;
    case 2: unpacked_32_2(A, B, units, T); break;
    default:
      if (WIDE) unpacked_32_3(A, B, units, T);
      else if (rows == 3) unpacked_32_3(A, B, units, T);
      else unpacked_32_4(A, B, units, T);
  }
}

function unpacked_16(rows: i32, A: usize, B: usize, units: i32, T: usize): void {
  switch (rows) {
    case 1: unpacked_16_1(A, B, units, T); break;
    case 2: unpacked_16_2(A, B, units, T); break;
    default:
      if (WIDE) unpacked_16_3(A, B, units, T);
      else if (rows == 3) unpacked_16_3(A, B, units, T);
      else unpacked_16_4(A, B, units, T);
  }
}

/** A tile of `rows` rows. A build has those ways to multiply that it can use. */
function tileOf(rows: i32, kind: i32, DOT: i32, A: usize, B: usize, units: i32, T: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (kind == EIGHT_FIRST) {
      if (DOT == DOT_32) eight_32(rows, A, B, units, T);
      else eight_plain(rows, A, B, units, T);
    } else if (kind == FOUR_LOW) {
      if (DOT == DOT_32) four_32(rows, A, B, units, T);
      else four_16(rows, A, B, units, T);
    } else if (DOT == DOT_32) unpacked_32(rows, A, B, units, T);
    else unpacked_16(rows, A, B, units, T);
  } else if (kind == EIGHT_FIRST) eight_plain(rows, A, B, units, T);
  else if (kind == FOUR_LOW) four_plain(rows, A, B, units, T);
  else unpacked_plain(rows, A, B, units, T);
}

/** Unpacks `units` units of int4 weights at `w` to bytes, and their scales and zeros to f32. */
function unpack(w: usize, units: i32, out: usize): void {
  const mask = lowNibbles();
  for (let unit = 0; unit < units; unit++) {
    for (let at: usize = 0; at < LINES_BYTES; at += 64) {
      const p = w + at, o = out + at;
      const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
      v128.store(o, v128.and(w0, mask));
      v128.store(o, v128.and(w1, mask), 16);
      v128.store(o, v128.and(w2, mask), 32);
      v128.store(o, v128.and(w3, mask), 48);
      v128.store(o + LINES_BYTES, v128.and(i16x8.shr_u(w0, 4), mask));
      v128.store(o + LINES_BYTES, v128.and(i16x8.shr_u(w1, 4), mask), 16);
      v128.store(o + LINES_BYTES, v128.and(i16x8.shr_u(w2, 4), mask), 32);
      v128.store(o + LINES_BYTES, v128.and(i16x8.shr_u(w3, 4), mask), 48);
    }
    w += LINES_BYTES;
    out += 2 * LINES_BYTES;
    for (let i = 0; i < 4; i++) {
      const words = v128.load(w);
      v128.store(out, scaleOf(FOUR_LOW, words));
      v128.store(out, zeroOf(FOUR_LOW, words), 64);
      v128.store(out, scaleOf(FOUR_HIGH, words), 128);
      v128.store(out, zeroOf(FOUR_HIGH, words), 192);
      w += 16;
      out += 16;
    }
    out += 192;
  }
}

/**
 * y[r, 16p + i] (+)= sum over k of x[r, k] * w[16p + i, k] for the panels p = first .. first + count - 1 of the `panels`
 * panels at `w`. `a`: rows packed by `quantize_rows`. `b`: scratch of 257 x 16 f32. y: address of panel 0; rows are `ldy`
 * bytes apart and padded to whole panels. `format`: INT8 or INT4. `DOT`: how integers are multiplied; another than
 * DOT_PLAIN where the engine was found to do it right.
 */
export function gemm_quantized(
  a: usize, rows: i32, w: usize, panels: i32, first: i32, count: i32, y: usize, ldy: usize, columns: i32, accumulate: i32,
  b: usize, format: i32, DOT: i32,
): void {
  const rowScales = format == INT4 ? w + (<usize>(panels * wordsOf(columns, format)) << 6) : 0;
  const T = b, bytes = b + 64 * TILE;
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const units = (width + 63) >> 6;
    const add = accumulate | from;
    const tileBytes = <usize>wordsOf(width, format) << 6;
    let weights = w + <usize>first * tileBytes;
    for (let p = first; p < first + count; p++) {
      let B = weights;
      let kind = format == INT4 ? FOUR_LOW : EIGHT_FIRST;
      if (format == INT4 && rows > TILE) {
        unpack(weights, units, bytes);
        B = bytes;
        kind = UNPACKED;
      }
      const d = rowScales ? rowScales + (<usize>p << 6) : 0;
      let A = a;
      let out = y + (<usize>(p * PANEL) << 2);
      for (let r = 0; r < rows; ) {
        const height = heightOf(rows - r);
        tileOf(height, kind, DOT, A, B, units, T);
        addTile(height, T, d, out, ldy, add);
        A += packedRowsBytes(height, units);
        out += <usize>height * ldy;
        r += height;
      }
      weights += tileBytes;
    }
    w += <usize>panels * tileBytes;
    a += packedRowsBytes(rows, units);
  }
}
