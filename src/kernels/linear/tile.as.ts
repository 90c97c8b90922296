// AssemblyScript. The register tile that every blocked product uses: C[m, 0..8) (+)= A[m, k] * B[k, 0..8) for M = 1..6
// rows. A is packed [k][M], B is packed [k][8], C rows are `ldc` bytes apart. Six rows by eight columns fill 12 of the
// 15 vector registers that V8 hands out on x64, two hold B and one the broadcast of A.

import { madd } from "../common/simd.as";

/** Rows of a full tile. */
export const TILE: i32 = 6;

export function tile6(A: usize, B: usize, C: usize, k: i32, ldc: usize, accumulate: bool): void {
  const c1 = C + ldc, c2 = c1 + ldc, c3 = c2 + ldc, c4 = c3 + ldc, c5 = c4 + ldc;
  let a00 = f32x4.splat(0), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00;
  let a30 = a00, a31 = a00, a40 = a00, a41 = a00, a50 = a00, a51 = a00;
  if (accumulate) {
    a00 = v128.load(C); a01 = v128.load(C, 16);
    a10 = v128.load(c1); a11 = v128.load(c1, 16);
    a20 = v128.load(c2); a21 = v128.load(c2, 16);
    a30 = v128.load(c3); a31 = v128.load(c3, 16);
    a40 = v128.load(c4); a41 = v128.load(c4, 16);
    a50 = v128.load(c5); a51 = v128.load(c5, 16);
  }
  const end = B + (<usize>k << 5);
  while (B < end) {
    const b0 = v128.load(B), b1 = v128.load(B, 16);
    let t = v128.load32_splat(A);
    a00 = madd(t, b0, a00); a01 = madd(t, b1, a01);
    t = v128.load32_splat(A, 4);
    a10 = madd(t, b0, a10); a11 = madd(t, b1, a11);
    t = v128.load32_splat(A, 8);
    a20 = madd(t, b0, a20); a21 = madd(t, b1, a21);
    t = v128.load32_splat(A, 12);
    a30 = madd(t, b0, a30); a31 = madd(t, b1, a31);
    t = v128.load32_splat(A, 16);
    a40 = madd(t, b0, a40); a41 = madd(t, b1, a41);
    t = v128.load32_splat(A, 20);
    a50 = madd(t, b0, a50); a51 = madd(t, b1, a51);
    A += 24;
    B += 32;
  }
  v128.store(C, a00); v128.store(C, a01, 16);
  v128.store(c1, a10); v128.store(c1, a11, 16);
  v128.store(c2, a20); v128.store(c2, a21, 16);
  v128.store(c3, a30); v128.store(c3, a31, 16);
  v128.store(c4, a40); v128.store(c4, a41, 16);
  v128.store(c5, a50); v128.store(c5, a51, 16);
}

function tile4(A: usize, B: usize, C: usize, k: i32, lda: usize, ldc: usize, accumulate: bool): void {
  const c1 = C + ldc, c2 = c1 + ldc, c3 = c2 + ldc;
  let a00 = f32x4.splat(0), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00, a30 = a00, a31 = a00;
  if (accumulate) {
    a00 = v128.load(C); a01 = v128.load(C, 16);
    a10 = v128.load(c1); a11 = v128.load(c1, 16);
    a20 = v128.load(c2); a21 = v128.load(c2, 16);
    a30 = v128.load(c3); a31 = v128.load(c3, 16);
  }
  const end = B + (<usize>k << 5);
  while (B < end) {
    const b0 = v128.load(B), b1 = v128.load(B, 16);
    let t = v128.load32_splat(A);
    a00 = madd(t, b0, a00); a01 = madd(t, b1, a01);
    t = v128.load32_splat(A, 4);
    a10 = madd(t, b0, a10); a11 = madd(t, b1, a11);
    t = v128.load32_splat(A, 8);
    a20 = madd(t, b0, a20); a21 = madd(t, b1, a21);
    t = v128.load32_splat(A, 12);
    a30 = madd(t, b0, a30); a31 = madd(t, b1, a31);
    A += lda;
    B += 32;
  }
  v128.store(C, a00); v128.store(C, a01, 16);
  v128.store(c1, a10); v128.store(c1, a11, 16);
  v128.store(c2, a20); v128.store(c2, a21, 16);
  v128.store(c3, a30); v128.store(c3, a31, 16);
}

function tile3(A: usize, B: usize, C: usize, k: i32, lda: usize, ldc: usize, accumulate: bool): void {
  const c1 = C + ldc, c2 = c1 + ldc;
  let a00 = f32x4.splat(0), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00;
  if (accumulate) {
    a00 = v128.load(C); a01 = v128.load(C, 16);
    a10 = v128.load(c1); a11 = v128.load(c1, 16);
    a20 = v128.load(c2); a21 = v128.load(c2, 16);
  }
  const end = B + (<usize>k << 5);
  while (B < end) {
    const b0 = v128.load(B), b1 = v128.load(B, 16);
    let t = v128.load32_splat(A);
    a00 = madd(t, b0, a00); a01 = madd(t, b1, a01);
    t = v128.load32_splat(A, 4);
    a10 = madd(t, b0, a10); a11 = madd(t, b1, a11);
    t = v128.load32_splat(A, 8);
    a20 = madd(t, b0, a20); a21 = madd(t, b1, a21);
    A += lda;
    B += 32;
  }
  v128.store(C, a00); v128.store(C, a01, 16);
  v128.store(c1, a10); v128.store(c1, a11, 16);
  v128.store(c2, a20); v128.store(c2, a21, 16);
}

function tile2(A: usize, B: usize, C: usize, k: i32, lda: usize, ldc: usize, accumulate: bool): void {
  const c1 = C + ldc;
  let a00 = f32x4.splat(0), a01 = a00, a10 = a00, a11 = a00;
  if (accumulate) {
    a00 = v128.load(C); a01 = v128.load(C, 16);
    a10 = v128.load(c1); a11 = v128.load(c1, 16);
  }
  const end = B + (<usize>k << 5);
  while (B < end) {
    const b0 = v128.load(B), b1 = v128.load(B, 16);
    let t = v128.load32_splat(A);
    a00 = madd(t, b0, a00); a01 = madd(t, b1, a01);
    t = v128.load32_splat(A, 4);
    a10 = madd(t, b0, a10); a11 = madd(t, b1, a11);
    A += lda;
    B += 32;
  }
  v128.store(C, a00); v128.store(C, a01, 16);
  v128.store(c1, a10); v128.store(c1, a11, 16);
}

function tile1(A: usize, B: usize, C: usize, k: i32, lda: usize, accumulate: bool): void {
  let a0 = f32x4.splat(0), a1 = a0;
  if (accumulate) {
    a0 = v128.load(C);
    a1 = v128.load(C, 16);
  }
  const end = B + (<usize>k << 5);
  while (B < end) {
    const t = v128.load32_splat(A);
    a0 = madd(t, v128.load(B), a0);
    a1 = madd(t, v128.load(B, 16), a1);
    A += lda;
    B += 32;
  }
  v128.store(C, a0);
  v128.store(C, a1, 16);
}

/** Computes a tile of `rows` = 1..6 rows; A is packed [k][rows]. Each row's sum has the same order for every `rows`. */
@inline
export function tile(A: usize, B: usize, C: usize, k: i32, rows: i32, ldc: usize, accumulate: bool): void {
  if (rows == TILE) {
    tile6(A, B, C, k, ldc, accumulate);
    return;
  }
  const lda = <usize>rows << 2;
  let r = 0;
  if (rows >= 4) {
    tile4(A, B, C, k, lda, ldc, accumulate);
    r = 4;
  }
  const rest = rows - r;
  A += <usize>r << 2;
  C += <usize>r * ldc;
  if (rest == 3) tile3(A, B, C, k, lda, ldc, accumulate);
  else if (rest == 2) tile2(A, B, C, k, lda, ldc, accumulate);
  else if (rest == 1) tile1(A, B, C, k, lda, accumulate);
}
