// AssemblyScript. One row of activations against weight tiles: y[n] = sum over k of x[k] * w[n, k].
//
// The matrix is one sequential stream (the only pattern that reached the machine's read bandwidth; several row streams
// at once lost a third), each lane is an output row, so there is no horizontal sum, and the 1 KB of x that a block of
// columns needs stays in the L1 cache while all rows pass. The order of additions into a row depends on nothing but
// the number of columns: in each block of TILE_COLUMNS columns the even ones are added to what is there, the odd ones from
// zero, and then both. A row has the same bits whichever thread owns it, and among whatever rows (gemm.as.ts).
//
// x is readable (and zero) up to an even number of columns. y is padded to whole panels.

import { madd, TILE_COLUMNS } from "../common/simd.as";
import { zeros } from "./tile.as";
import { bf16Even, bf16Mask, bf16Odd, byteOf, f16Even, f16Mask, f16Odd, wordsOf } from "./widen.as";

/**
 * The product with panels first .. first + count - 1 of the `panels` panels at `w`, of bf16 weights. y: address of
 * panel 0. `accumulate` adds to y instead of replacing it.
 */
export function gemv_bf16(
  x: usize, w: usize, panels: i32, first: i32, count: i32, y: usize, columns: i32, accumulate: i32,
): void {
  y += <usize>first << 6;
  const mask = bf16Mask();
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const xFrom = x + (<usize>from << 2);
    const xEnd = xFrom + (<usize>width << 2);
    const tileBytes = <usize>wordsOf(width, 1) << 6;
    const add = accumulate | from;
    let out = y;
    let q = w + <usize>first * tileBytes;
    for (let p = 0; p < count; p++) {
      const init = add ? out : zeros();
      let a0 = v128.load(init), a1 = v128.load(init, 16), a2 = v128.load(init, 32), a3 = v128.load(init, 48);
      let b0 = v128.load(zeros()), b1 = v128.load(zeros(), 16), b2 = v128.load(zeros(), 32), b3 = v128.load(zeros(), 48);
      for (let px = xFrom; px < xEnd; px += 8) {
        const even = v128.load32_splat(px);
        const odd = v128.load32_splat(px, 4);
        let t = v128.load(q);
        a0 = madd(bf16Even(t), even, a0);
        b0 = madd(bf16Odd(t, mask), odd, b0);
        t = v128.load(q, 16);
        a1 = madd(bf16Even(t), even, a1);
        b1 = madd(bf16Odd(t, mask), odd, b1);
        t = v128.load(q, 32);
        a2 = madd(bf16Even(t), even, a2);
        b2 = madd(bf16Odd(t, mask), odd, b2);
        t = v128.load(q, 48);
        a3 = madd(bf16Even(t), even, a3);
        b3 = madd(bf16Odd(t, mask), odd, b3);
        q += 64;
      }
      finish(out, f32x4.add(a0, b0), f32x4.add(a1, b1), f32x4.add(a2, b2), f32x4.add(a3, b3));
      out += 64;
    }
    w += <usize>panels * tileBytes;
  }
}

/** 2^12 and 2^-12. */
const SCALES: usize = memory.data<f32>([4096.0, 0.000244140625]);

/**
 * The product with f16 weights, as gemv_bf16. x was multiplied by 2^100 (`scale_f16`), so that the products of weights
 * scaled by 2^-112 keep their precision; sums are smaller by 2^12, which changes no bit of a number above 2^-100.
 * |x| < 2^27 is the price, far beyond any activation.
 */
export function gemv_f16(
  x: usize, w: usize, panels: i32, first: i32, count: i32, y: usize, columns: i32, accumulate: i32,
): void {
  y += <usize>first << 6;
  const mask = f16Mask();
  const up = v128.load32_splat(SCALES), down = v128.load32_splat(SCALES, 4);
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const xFrom = x + (<usize>from << 2);
    const xEnd = xFrom + (<usize>width << 2);
    const tileBytes = <usize>wordsOf(width, 1) << 6;
    const add = accumulate | from;
    let out = y;
    let q = w + <usize>first * tileBytes;
    for (let p = 0; p < count; p++) {
      const init = add ? out : zeros();
      let a0 = f32x4.mul(v128.load(init), down), a1 = f32x4.mul(v128.load(init, 16), down);
      let a2 = f32x4.mul(v128.load(init, 32), down), a3 = f32x4.mul(v128.load(init, 48), down);
      let b0 = v128.load(zeros()), b1 = v128.load(zeros(), 16), b2 = v128.load(zeros(), 32), b3 = v128.load(zeros(), 48);
      for (let px = xFrom; px < xEnd; px += 8) {
        const even = v128.load32_splat(px);
        const odd = v128.load32_splat(px, 4);
        let t = v128.load(q);
        a0 = madd(f16Even(t, mask), even, a0);
        b0 = madd(f16Odd(t, mask), odd, b0);
        t = v128.load(q, 16);
        a1 = madd(f16Even(t, mask), even, a1);
        b1 = madd(f16Odd(t, mask), odd, b1);
        t = v128.load(q, 32);
        a2 = madd(f16Even(t, mask), even, a2);
        b2 = madd(f16Odd(t, mask), odd, b2);
        t = v128.load(q, 48);
        a3 = madd(f16Even(t, mask), even, a3);
        b3 = madd(f16Odd(t, mask), odd, b3);
        q += 64;
      }
      finish(
        out, f32x4.mul(f32x4.add(a0, b0), up), f32x4.mul(f32x4.add(a1, b1), up), f32x4.mul(f32x4.add(a2, b2), up),
        f32x4.mul(f32x4.add(a3, b3), up),
      );
      out += 64;
    }
    w += <usize>panels * tileBytes;
  }
}

/** out[i] = x[i] * 2^100: the activations that gemv_f16 wants. count is a multiple of 4. */
export function scale_f16(x: usize, out: usize, count: i32): void {
  const end = x + (<usize>count << 2);
  const scale = f32x4.splat(1267650600228229401496703205376.0);
  while (x < end) {
    v128.store(out, f32x4.mul(v128.load(x), scale));
    x += 16;
    out += 16;
  }
}

/** The product with i8 weights, as gemv_bf16; each is multiplied by the scale of its row first. */
export function gemv_i8_row(
  x: usize, w: usize, panels: i32, first: i32, count: i32, y: usize, columns: i32, accumulate: i32,
): void {
  y += <usize>first << 6;
  const scales = w + (<usize>(panels * wordsOf(columns, 3) + first) << 6);
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const xFrom = x + (<usize>from << 2);
    const tileBytes = <usize>wordsOf(width, 3) << 6;
    const add = accumulate | from;
    let out = y;
    let s = scales;
    let q = w + <usize>first * tileBytes;
    for (let p = 0; p < count; p++) {
      const init = add ? out : zeros();
      const s0 = v128.load(s), s1 = v128.load(s, 16), s2 = v128.load(s, 32), s3 = v128.load(s, 48);
      let a0 = v128.load(init), a1 = v128.load(init, 16), a2 = v128.load(init, 32), a3 = v128.load(init, 48);
      let b0 = v128.load(zeros()), b1 = b0, b2 = b0, b3 = b0;
      for (let k = 0; k < width; k++) {
        const j = k & 3;
        const t = v128.load32_splat(xFrom + (<usize>k << 2));
        const w0 = f32x4.mul(byteOf(v128.load(q), j), s0), w1 = f32x4.mul(byteOf(v128.load(q, 16), j), s1);
        const w2 = f32x4.mul(byteOf(v128.load(q, 32), j), s2), w3 = f32x4.mul(byteOf(v128.load(q, 48), j), s3);
        if (k & 1) {
          b0 = madd(w0, t, b0);
          b1 = madd(w1, t, b1);
          b2 = madd(w2, t, b2);
          b3 = madd(w3, t, b3);
        } else {
          a0 = madd(w0, t, a0);
          a1 = madd(w1, t, a1);
          a2 = madd(w2, t, a2);
          a3 = madd(w3, t, a3);
        }
        if (j == 3 || k + 1 == width) q += 64;
      }
      finish(out, f32x4.add(a0, b0), f32x4.add(a1, b1), f32x4.add(a2, b2), f32x4.add(a3, b3));
      out += 64;
      s += 64;
    }
    w += <usize>panels * tileBytes;
  }
}

/** The product with f32 weights, as gemv_bf16. */
export function gemv_f32(
  x: usize, w: usize, panels: i32, first: i32, count: i32, y: usize, columns: i32, accumulate: i32,
): void {
  y += <usize>first << 6;
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const xFrom = x + (<usize>from << 2);
    const pairsEnd = xFrom + (<usize>(width & ~1) << 2);
    const tileBytes = <usize>width << 6;
    const add = accumulate | from;
    let out = y;
    let q = w + <usize>first * tileBytes;
    for (let p = 0; p < count; p++) {
      const init = add ? out : zeros();
      let a0 = v128.load(init), a1 = v128.load(init, 16), a2 = v128.load(init, 32), a3 = v128.load(init, 48);
      let b0 = v128.load(zeros()), b1 = v128.load(zeros(), 16), b2 = v128.load(zeros(), 32), b3 = v128.load(zeros(), 48);
      let px = xFrom;
      for (; px < pairsEnd; px += 8) {
        const even = v128.load32_splat(px);
        const odd = v128.load32_splat(px, 4);
        a0 = madd(v128.load(q), even, a0);
        a1 = madd(v128.load(q, 16), even, a1);
        a2 = madd(v128.load(q, 32), even, a2);
        a3 = madd(v128.load(q, 48), even, a3);
        b0 = madd(v128.load(q, 64), odd, b0);
        b1 = madd(v128.load(q, 80), odd, b1);
        b2 = madd(v128.load(q, 96), odd, b2);
        b3 = madd(v128.load(q, 112), odd, b3);
        q += 128;
      }
      if (width & 1) {
        const even = v128.load32_splat(px);
        a0 = madd(v128.load(q), even, a0);
        a1 = madd(v128.load(q, 16), even, a1);
        a2 = madd(v128.load(q, 32), even, a2);
        a3 = madd(v128.load(q, 48), even, a3);
        q += 64;
      }
      finish(out, f32x4.add(a0, b0), f32x4.add(a1, b1), f32x4.add(a2, b2), f32x4.add(a3, b3));
      out += 64;
    }
    w += <usize>panels * tileBytes;
  }
}

@inline
function finish(out: usize, v0: v128, v1: v128, v2: v128, v3: v128): void {
  v128.store(out, v0);
  v128.store(out, v1, 16);
  v128.store(out, v2, 32);
  v128.store(out, v3, 48);
}
