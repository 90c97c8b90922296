// AssemblyScript. The register tile that every blocked product uses: C[m, 0..16) = I[m, 0..16) + sum over k of A[k, m] * B[k, 0..16)
// for 1 to 6 rows m. Six rows by sixteen columns fill 12 of the 15 vector registers of 256 bits that V8 hands out on x64; two
// hold B and one the broadcast of A. The 128-bit builds do eight columns at a time, which fills as many of theirs.
//
// V8 makes 256-bit code of the wide build from pairs of neighbouring 128-bit operations. It begins at adjacent stores and
// needs adjacent loads all the way, those of the accumulators included: so there are no splats of zero, and what is loaded is
// loaded before the stores that might alias it.
//
// WIDE is 1 in that build, otherwise 0: scripts/build-kernels.ts gives it to the compiler.
//
// Every element has an accumulator of its own that takes k in order: its bits depend neither on the number of rows nor on the
// width of the build.

import { madd } from "../common/simd.as";
import { bf16Even } from "./widen.as";

/** Rows of a full tile. */
export const TILE: i32 = 6;

const ZEROS: usize = memory.data<f32>([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** Address of sixteen zeros, for accumulators that begin with nothing. */
@inline
export function zeros(): usize {
  return ZEROS;
}

/** Rows of the next tile where `rows` are left: no more tiles than needed, all of about one height. */
@inline
export function heightOf(rows: i32): i32 {
  const tiles = (rows + TILE - 1) / TILE;
  return (rows + tiles - 1) / tiles;
}

/** Four weights of their words: f32, or (format 2) bf16 in the low halves. */
@inline
function weights(words: v128, format: i32): v128 {
  return format == 2 ? bf16Even(words) : words;
}

/** Stores a row of a tile; `plus` adds what is there. */
@inline
function put(C: usize, v0: v128, v1: v128, v2: v128, v3: v128, plus: i32): void {
  if (plus) {
    const p0 = v128.load(C), p1 = v128.load(C, 16);
    let p2 = p0, p3 = p0;
    if (WIDE) {
      p2 = v128.load(C, 32);
      p3 = v128.load(C, 48);
    }
    v0 = f32x4.add(p0, v0);
    v1 = f32x4.add(p1, v1);
    if (WIDE) {
      v2 = f32x4.add(p2, v2);
      v3 = f32x4.add(p3, v3);
    }
  }
  v128.store(C, v0);
  v128.store(C, v1, 16);
  if (WIDE) {
    v128.store(C, v2, 32);
    v128.store(C, v3, 48);
  }
}

/**
 * A tile of M rows: sixteen columns in the wide build, eight otherwise. M, `format` and whether A is `packed` ([k][M], or rows
 * of 64 numbers) are known when this is compiled. A advances by `lda` and B by `ldb` bytes a step of `count`.
 */
@inline
function body(
  M: i32, format: i32, packed: i32,
  A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32,
): void {
  const aI = I, bI = aI + ldi, cI = bI + ldi, dI = cI + ldi, eI = dI + ldi, fI = eI + ldi;
  const aC = C, bC = aC + ldc, cC = bC + ldc, dC = cC + ldc, eC = dC + ldc, fC = eC + ldc;
  let a0 = v128.load(aI), a1 = v128.load(aI, 16), a2 = a0, a3 = a0;
  let b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0;
  let d0 = a0, d1 = a0, d2 = a0, d3 = a0;
  let e0 = a0, e1 = a0, e2 = a0, e3 = a0;
  let f0 = a0, f1 = a0, f2 = a0, f3 = a0;
  if (WIDE) {
    a2 = v128.load(aI, 32);
    a3 = v128.load(aI, 48);
  }
  if (M > 1) {
    b0 = v128.load(bI);
    b1 = v128.load(bI, 16);
    if (WIDE) {
      b2 = v128.load(bI, 32);
      b3 = v128.load(bI, 48);
    }
  }
  if (M > 2) {
    c0 = v128.load(cI);
    c1 = v128.load(cI, 16);
    if (WIDE) {
      c2 = v128.load(cI, 32);
      c3 = v128.load(cI, 48);
    }
  }
  if (M > 3) {
    d0 = v128.load(dI);
    d1 = v128.load(dI, 16);
    if (WIDE) {
      d2 = v128.load(dI, 32);
      d3 = v128.load(dI, 48);
    }
  }
  if (M > 4) {
    e0 = v128.load(eI);
    e1 = v128.load(eI, 16);
    if (WIDE) {
      e2 = v128.load(eI, 32);
      e3 = v128.load(eI, 48);
    }
  }
  if (M > 5) {
    f0 = v128.load(fI);
    f1 = v128.load(fI, 16);
    if (WIDE) {
      f2 = v128.load(fI, 32);
      f3 = v128.load(fI, 48);
    }
  }
  for (let k = 0; k < count; k++) {
    const w0 = weights(v128.load(B), format), w1 = weights(v128.load(B, 16), format);
    let w2 = w0, w3 = w0;
    if (WIDE) {
      w2 = weights(v128.load(B, 32), format);
      w3 = weights(v128.load(B, 48), format);
    }
    let t = v128.load32_splat(A);
    a0 = madd(t, w0, a0);
    a1 = madd(t, w1, a1);
    if (WIDE) {
      a2 = madd(t, w2, a2);
      a3 = madd(t, w3, a3);
    }
    if (M > 1) {
      t = packed ? v128.load32_splat(A, 4) : v128.load32_splat(A, 256);
      b0 = madd(t, w0, b0);
      b1 = madd(t, w1, b1);
      if (WIDE) {
        b2 = madd(t, w2, b2);
        b3 = madd(t, w3, b3);
      }
    }
    if (M > 2) {
      t = packed ? v128.load32_splat(A, 8) : v128.load32_splat(A, 512);
      c0 = madd(t, w0, c0);
      c1 = madd(t, w1, c1);
      if (WIDE) {
        c2 = madd(t, w2, c2);
        c3 = madd(t, w3, c3);
      }
    }
    if (M > 3) {
      t = packed ? v128.load32_splat(A, 12) : v128.load32_splat(A, 768);
      d0 = madd(t, w0, d0);
      d1 = madd(t, w1, d1);
      if (WIDE) {
        d2 = madd(t, w2, d2);
        d3 = madd(t, w3, d3);
      }
    }
    if (M > 4) {
      t = packed ? v128.load32_splat(A, 16) : v128.load32_splat(A, 1024);
      e0 = madd(t, w0, e0);
      e1 = madd(t, w1, e1);
      if (WIDE) {
        e2 = madd(t, w2, e2);
        e3 = madd(t, w3, e3);
      }
    }
    if (M > 5) {
      t = packed ? v128.load32_splat(A, 20) : v128.load32_splat(A, 1280);
      f0 = madd(t, w0, f0);
      f1 = madd(t, w1, f1);
      if (WIDE) {
        f2 = madd(t, w2, f2);
        f3 = madd(t, w3, f3);
      }
    }
    A += lda;
    B += ldb;
  }
  put(aC, a0, a1, a2, a3, plus);
  if (M > 1) put(bC, b0, b1, b2, b3, plus);
  if (M > 2) put(cC, c0, c1, c2, c3, plus);
  if (M > 3) put(dC, d0, d1, d2, d3, plus);
  if (M > 4) put(eC, e0, e1, e2, e3, plus);
  if (M > 5) put(fC, f0, f1, f2, f3, plus);
}

/** `body` over all sixteen columns. */
@inline
function whole(
  M: i32, format: i32, packed: i32,
  A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32,
): void {
  body(M, format, packed, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
  if (!WIDE) body(M, format, packed, A, lda, B + 32, ldb, count, C + 32, ldc, I + 32, ldi, plus);
}

function f32_1(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(1, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function f32_2(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(2, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function f32_3(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(3, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function f32_4(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(4, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function f32_5(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(5, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function f32_6(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(6, 0, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}

function bf16_1(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(1, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function bf16_2(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(2, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function bf16_3(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(3, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function bf16_4(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(4, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function bf16_5(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(5, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function bf16_6(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(6, 2, 1, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}

function scores_1(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(1, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function scores_2(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(2, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function scores_3(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(3, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function scores_4(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(4, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function scores_5(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(5, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}
function scores_6(A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32): void {
  whole(6, 0, 0, A, lda, B, ldb, count, C, ldc, I, ldi, plus);
}

/** A tile of `rows` rows over f32 weights; A is packed [k][rows]. `plus` adds the result to C instead of storing it. */
export function tileF32(
  rows: i32, A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32,
): void {
  switch (rows) {
    case 1: f32_1(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 2: f32_2(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 3: f32_3(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 4: f32_4(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 5: f32_5(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    default: f32_6(A, lda, B, ldb, count, C, ldc, I, ldi, plus);
  }
}

/** The same over bf16 weights that are the low halves of words; those in the high halves lie two bytes further on. */
export function tileBf16(
  rows: i32, A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32,
): void {
  switch (rows) {
    case 1: bf16_1(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 2: bf16_2(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 3: bf16_3(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 4: bf16_4(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 5: bf16_5(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    default: bf16_6(A, lda, B, ldb, count, C, ldc, I, ldi, plus);
  }
}

/** The same over f32 weights; A is [rows][64], a block's probabilities. */
export function tileScores(
  rows: i32, A: usize, lda: usize, B: usize, ldb: usize, count: i32, C: usize, ldc: usize, I: usize, ldi: usize, plus: i32,
): void {
  switch (rows) {
    case 1: scores_1(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 2: scores_2(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 3: scores_3(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 4: scores_4(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    case 5: scores_5(A, lda, B, ldb, count, C, ldc, I, ldi, plus); break;
    default: scores_6(A, lda, B, ldb, count, C, ldc, I, ldi, plus);
  }
}
