// AssemblyScript. Two or three rows against a weight tile whose words are widened in registers: even and odd columns go to
// accumulators of their own in one walk, so that the tile comes from memory at the speed of one row. More rows have no room
// for two accumulators an element; they take the even columns first, then the odd ones (gemm.as.ts). The order of additions,
// and so every bit, is the same. WIDE: see tile.as.ts.

import { madd } from "../common/simd.as";
import { zeros } from "./tile.as";
import { bf16Even, f16Even, f16Mask, f16Odd, f16Scale } from "./widen.as";

/** The even columns of four words. format: as for wordsOf. */
@inline
function even(words: v128, format: i32, mask: v128, scale: v128): v128 {
  return format == 2 ? bf16Even(words) : format == 1 ? f32x4.mul(f16Even(words, mask), scale) : words;
}

/**
 * The odd columns of four words. A bf16 number in the high half of a word is the low half of the word two bytes further on
 * (`shifted`): loading it again costs less than a mask, for which there is no register. f32 columns are words of the `next` line.
 */
@inline
function odd(words: v128, shifted: v128, next: v128, format: i32, mask: v128, scale: v128): v128 {
  if (format == 2) return bf16Even(shifted);
  return format == 1 ? f32x4.mul(f16Odd(words, mask), scale) : next;
}

@inline
function put(C: usize, a0: v128, a1: v128, a2: v128, a3: v128, b0: v128, b1: v128, b2: v128, b3: v128): void {
  a0 = f32x4.add(a0, b0);
  a1 = f32x4.add(a1, b1);
  if (WIDE) {
    a2 = f32x4.add(a2, b2);
    a3 = f32x4.add(a3, b3);
  }
  v128.store(C, a0);
  v128.store(C, a1, 16);
  if (WIDE) {
    v128.store(C, a2, 32);
    v128.store(C, a3, 48);
  }
}

/** The product of M rows, packed [k][M], with `pairs` pairs of columns, and one more where `last` is not 0. */
@inline
function body(M: i32, format: i32, A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  const Z = zeros();
  const mask = format == 1 ? f16Mask() : v128.load(Z), scale = format == 1 ? f16Scale() : mask;
  const bI = I + ldi, cI = bI + ldi, bC = C + ldc, cC = bC + ldc;
  let a0 = v128.load(I), a1 = v128.load(I, 16), a2 = a0, a3 = a0;
  let aOdd0 = v128.load(Z), aOdd1 = v128.load(Z, 16), aOdd2 = aOdd0, aOdd3 = aOdd0;
  let b0 = a0, b1 = a0, b2 = a0, b3 = a0, bOdd0 = aOdd0, bOdd1 = aOdd1, bOdd2 = aOdd0, bOdd3 = aOdd0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, cOdd0 = aOdd0, cOdd1 = aOdd1, cOdd2 = aOdd0, cOdd3 = aOdd0;
  if (WIDE) {
    a2 = v128.load(I, 32);
    a3 = v128.load(I, 48);
    aOdd2 = v128.load(Z, 32);
    aOdd3 = v128.load(Z, 48);
  }
  if (M > 1) {
    b0 = v128.load(bI);
    b1 = v128.load(bI, 16);
    if (WIDE) {
      b2 = v128.load(bI, 32);
      b3 = v128.load(bI, 48);
      bOdd2 = v128.load(Z, 32);
      bOdd3 = v128.load(Z, 48);
    }
  }
  if (M > 2) {
    c0 = v128.load(cI);
    c1 = v128.load(cI, 16);
    if (WIDE) {
      c2 = v128.load(cI, 32);
      c3 = v128.load(cI, 48);
      cOdd2 = v128.load(Z, 32);
      cOdd3 = v128.load(Z, 48);
    }
  }
  const ldb: usize = format == 0 ? 128 : 64;
  for (let k = 0; k < pairs; k++) {
    const w0 = v128.load(B), w1 = v128.load(B, 16);
    let w2 = w0, w3 = w0;
    if (WIDE) {
      w2 = v128.load(B, 32);
      w3 = v128.load(B, 48);
    }
    let v0 = even(w0, format, mask, scale), v1 = even(w1, format, mask, scale), v2 = v0, v3 = v0;
    if (WIDE) {
      v2 = even(w2, format, mask, scale);
      v3 = even(w3, format, mask, scale);
    }
    let t = v0;
    t = v128.load32_splat(A);
    a0 = madd(t, v0, a0);
    a1 = madd(t, v1, a1);
    if (WIDE) {
      a2 = madd(t, v2, a2);
      a3 = madd(t, v3, a3);
    }
    if (M > 1) {
      t = v128.load32_splat(A, 4);
      b0 = madd(t, v0, b0);
      b1 = madd(t, v1, b1);
      if (WIDE) {
        b2 = madd(t, v2, b2);
        b3 = madd(t, v3, b3);
      }
    }
    if (M > 2) {
      t = v128.load32_splat(A, 8);
      c0 = madd(t, v0, c0);
      c1 = madd(t, v1, c1);
      if (WIDE) {
        c2 = madd(t, v2, c2);
        c3 = madd(t, v3, c3);
      }
    }
    v0 = odd(w0, v128.load(B, 2), v128.load(B, 64), format, mask, scale);
    v1 = odd(w1, v128.load(B, 18), v128.load(B, 80), format, mask, scale);
    if (WIDE) {
      v2 = odd(w2, v128.load(B, 34), v128.load(B, 96), format, mask, scale);
      v3 = odd(w3, v128.load(B, 50), v128.load(B, 112), format, mask, scale);
    }
    t = M == 2 ? v128.load32_splat(A, 8) : v128.load32_splat(A, 12);
    aOdd0 = madd(t, v0, aOdd0);
    aOdd1 = madd(t, v1, aOdd1);
    if (WIDE) {
      aOdd2 = madd(t, v2, aOdd2);
      aOdd3 = madd(t, v3, aOdd3);
    }
    if (M > 1) {
      t = M == 2 ? v128.load32_splat(A, 12) : v128.load32_splat(A, 16);
      bOdd0 = madd(t, v0, bOdd0);
      bOdd1 = madd(t, v1, bOdd1);
      if (WIDE) {
        bOdd2 = madd(t, v2, bOdd2);
        bOdd3 = madd(t, v3, bOdd3);
      }
    }
    if (M > 2) {
      t = v128.load32_splat(A, 20);
      cOdd0 = madd(t, v0, cOdd0);
      cOdd1 = madd(t, v1, cOdd1);
      if (WIDE) {
        cOdd2 = madd(t, v2, cOdd2);
        cOdd3 = madd(t, v3, cOdd3);
      }
    }
    A += 8 * M;
    B += ldb;
  }
  if (last) {
    let v0 = even(v128.load(B), format, mask, scale), v1 = even(v128.load(B, 16), format, mask, scale), v2 = v0, v3 = v0;
    if (WIDE) {
      v2 = even(v128.load(B, 32), format, mask, scale);
      v3 = even(v128.load(B, 48), format, mask, scale);
    }
    let t = v0;
    t = v128.load32_splat(A);
    a0 = madd(t, v0, a0);
    a1 = madd(t, v1, a1);
    if (WIDE) {
      a2 = madd(t, v2, a2);
      a3 = madd(t, v3, a3);
    }
    if (M > 1) {
      t = v128.load32_splat(A, 4);
      b0 = madd(t, v0, b0);
      b1 = madd(t, v1, b1);
      if (WIDE) {
        b2 = madd(t, v2, b2);
        b3 = madd(t, v3, b3);
      }
    }
    if (M > 2) {
      t = v128.load32_splat(A, 8);
      c0 = madd(t, v0, c0);
      c1 = madd(t, v1, c1);
      if (WIDE) {
        c2 = madd(t, v2, c2);
        c3 = madd(t, v3, c3);
      }
    }
  }
  put(C, a0, a1, a2, a3, aOdd0, aOdd1, aOdd2, aOdd3);
  if (M > 1) put(bC, b0, b1, b2, b3, bOdd0, bOdd1, bOdd2, bOdd3);
  if (M > 2) put(cC, c0, c1, c2, c3, cOdd0, cOdd1, cOdd2, cOdd3);
}

/** `body` over all sixteen columns. */
@inline
function whole(M: i32, format: i32, A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  body(M, format, A, B, pairs, last, C, ldc, I, ldi);
  if (!WIDE) body(M, format, A, B + 32, pairs, last, C + 32, ldc, I + 32, ldi);
}

function f32_2(A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  whole(2, 0, A, B, pairs, last, C, ldc, I, ldi);
}
function f32_3(A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  whole(3, 0, A, B, pairs, last, C, ldc, I, ldi);
}
function f16_2(A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  whole(2, 1, A, B, pairs, last, C, ldc, I, ldi);
}
function bf16_2(A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  whole(2, 2, A, B, pairs, last, C, ldc, I, ldi);
}
function bf16_3(A: usize, B: usize, pairs: i32, last: i32, C: usize, ldc: usize, I: usize, ldi: usize): void {
  whole(3, 2, A, B, pairs, last, C, ldc, I, ldi);
}

/** Whether `fewRows` does so many rows of this format (as for wordsOf); f16 needs registers for its constants. */
@inline
export function isFew(rows: i32, format: i32): bool {
  return rows == 2 ? format < 3 : rows == 3 && (format == 0 || format == 2);
}

/**
 * C[m, 0..16) = I[m, 0..16) + sum over k of A[k, m] * B[k, 0..16) for a tile of `columns` columns as the loader packed it.
 * C rows are `ldc`, I rows `ldi` bytes apart.
 */
export function fewRows(
  rows: i32, format: i32, A: usize, B: usize, columns: i32, C: usize, ldc: usize, I: usize, ldi: usize,
): void {
  const pairs = columns >> 1, last = columns & 1;
  if (rows == 2) {
    if (format == 2) bf16_2(A, B, pairs, last, C, ldc, I, ldi);
    else if (format == 1) f16_2(A, B, pairs, last, C, ldc, I, ldi);
    else f32_2(A, B, pairs, last, C, ldc, I, ldi);
  } else if (format == 2) bf16_3(A, B, pairs, last, C, ldc, I, ldi);
  else f32_3(A, B, pairs, last, C, ldc, I, ldi);
}
