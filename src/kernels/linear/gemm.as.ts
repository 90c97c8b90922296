// AssemblyScript. Several rows of activations against weight tiles (Goto & van de Geijn 2008): activations are packed once a
// call into [column block][register tile][k][height]; each weight tile, which lies in the L1 cache, is multiplied with all rows.
// Weights are read from memory once however many rows there are. What a register tile cannot widen as it goes (f16, bytes) is
// widened once to f32 [k][16].
//
// The order of additions into an element is that of one row (gemv.as.ts): in each block of TILE_COLUMNS columns the even ones
// are added to what is there, the odd ones from zero, and then both.

import { PANEL, TILE_COLUMNS } from "../common/simd.as";
import { fewRows, isFew } from "./few-rows.as";
import { widenQuantized } from "../quantized/dequantize.as";
import { heightOf, tileBf16, tileF32, zeros } from "./tile.as";
import { bf16Even, bf16Mask, bf16Odd, byteOf, f16Even, f16Mask, f16Odd, f16Scale, wordsOf } from "./widen.as";

/** From so many rows on, the 128-bit builds widen a bf16 tile once: they have no port to spare for it in the register tile. */
const WIDENED_ROWS: i32 = 24;

/** Packs x [rows][columns] (rows `ldx` bytes apart) for gemm; `out` holds rows x columns f32. */
export function pack_rows(x: usize, ldx: usize, rows: i32, columns: i32, out: usize): void {
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const count = min(columns - from, TILE_COLUMNS);
    for (let r = 0; r < rows; ) {
      const height = heightOf(rows - r);
      packTile(x + <usize>r * ldx + (<usize>from << 2), ldx, height, count, out);
      out += <usize>(height * count) << 2;
      r += height;
    }
  }
}

/** Packs `height` rows of `count` columns as [count][height], four columns at a time. */
function packTile(x: usize, ldx: usize, height: i32, count: i32, out: usize): void {
  const step = <usize>height << 2;
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    let p = x, o = out;
    let m = 0;
    for (; m + 4 <= height; m += 4) {
      const r0 = v128.load(p), r1 = v128.load(p + ldx), r2 = v128.load(p + 2 * ldx), r3 = v128.load(p + 3 * ldx);
      const t0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), t1 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
      const t2 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7), t3 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
      v128.store(o, v128.shuffle<i64>(t0, t1, 0, 2));
      v128.store(o + step, v128.shuffle<i64>(t0, t1, 1, 3));
      v128.store(o + 2 * step, v128.shuffle<i64>(t2, t3, 0, 2));
      v128.store(o + 3 * step, v128.shuffle<i64>(t2, t3, 1, 3));
      p += 4 * ldx;
      o += 16;
    }
    if (m + 2 <= height) {
      const r0 = v128.load(p), r1 = v128.load(p + ldx);
      const low = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), high = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
      v128.store_lane<i64>(o, low, 0);
      v128.store_lane<i64>(o + step, low, 1);
      v128.store_lane<i64>(o + 2 * step, high, 0);
      v128.store_lane<i64>(o + 3 * step, high, 1);
      m += 2;
      p += 2 * ldx;
      o += 8;
    }
    if (m < height) {
      const r0 = v128.load(p);
      v128.store_lane<i32>(o, r0, 0);
      v128.store_lane<i32>(o + step, r0, 1);
      v128.store_lane<i32>(o + 2 * step, r0, 2);
      v128.store_lane<i32>(o + 3 * step, r0, 3);
    }
    x += 16;
    out += 4 * step;
  }
  for (; k < count; k++) {
    for (let m = 0; m < height; m++) {
      store<f32>(out + (<usize>m << 2), load<f32>(x + <usize>m * ldx));
    }
    x += 4;
    out += step;
  }
}

/**
 * y[r, 16p + i] (+)= sum over k of x[r, k] * w[16p + i, k] for the panels p = first .. first + count - 1 of the
 * `panels` panels at `w`. `a`: packed rows. `b`: scratch of (TILE_COLUMNS + 1) x 16 f32. y: address of panel 0; rows
 * are `ldy` bytes apart and padded to whole panels. `format`: see wordsOf. Two bytes behind the weights are readable.
 */
export function gemm(
  a: usize, rows: i32, w: usize, panels: i32, first: i32, count: i32, y: usize, ldy: usize, columns: i32, accumulate: i32,
  b: usize, format: i32,
): void {
  const scales = w + (<usize>(panels * wordsOf(columns, format)) << 6);
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const add = accumulate | from;
    const tileBytes = <usize>wordsOf(width, format) << 6;
    let weights = w + <usize>first * tileBytes;
    for (let p = first; p < first + count; p++) {
      const out = y + (<usize>(p * PANEL) << 2);
      const init = add ? out : zeros();
      if (isFew(rows, format)) {
        fewRows(rows, format, a, weights, width, out, ldy, init, add ? ldy : 0);
      } else if (format == 2 && (WIDE || rows < WIDENED_ROWS)) {
        multiplyBf16(a, weights, out, rows, width, ldy, add);
      } else {
        let widened = weights;
        if (format != 0) {
          widened = b;
          if (format == 2) widenBf16(weights, b, width);
          else if (format == 1) widenF16(weights, b, width);
          else if (format == 3) widenI8(weights, scales + (<usize>p << 6), b, width);
          else widenQuantized(weights, scales + (<usize>p << 6), b, width, format);
        }
        multiplyF32(a, widened, out, rows, width, ldy, add);
      }
      weights += tileBytes;
    }
    w += <usize>panels * tileBytes;
    a += <usize>(rows * width) << 2;
  }
}

function multiplyF32(a: usize, b: usize, y: usize, rows: i32, width: i32, ldy: usize, add: i32): void {
  const even = (width + 1) >> 1, odd = width >> 1;
  for (let r = 0; r < rows; ) {
    const height = heightOf(rows - r);
    const lda = <usize>height << 3;
    tileF32(height, a, lda, b, 128, even, y, ldy, add ? y : zeros(), add ? ldy : 0, 0);
    tileF32(height, a + (lda >> 1), lda, b + 64, 128, odd, y, ldy, zeros(), 0, 1);
    a += <usize>(height * width) << 2;
    y += <usize>height * ldy;
    r += height;
  }
}

function multiplyBf16(a: usize, b: usize, y: usize, rows: i32, width: i32, ldy: usize, add: i32): void {
  const even = (width + 1) >> 1, odd = width >> 1;
  for (let r = 0; r < rows; ) {
    const height = heightOf(rows - r);
    const lda = <usize>height << 3;
    tileBf16(height, a, lda, b, 64, even, y, ldy, add ? y : zeros(), add ? ldy : 0, 0);
    tileBf16(height, a + (lda >> 1), lda, b + 2, 64, odd, y, ldy, zeros(), 0, 1);
    a += <usize>(height * width) << 2;
    y += <usize>height * ldy;
    r += height;
  }
}

/** Widens `count` columns of a bf16 tile at `w` to [count][16] f32; a last odd one that is not there is written too. */
function widenBf16(w: usize, out: usize, count: i32): void {
  const mask = bf16Mask();
  for (let k = 0; k < count; k += 2) {
    const t0 = v128.load(w), t1 = v128.load(w, 16), t2 = v128.load(w, 32), t3 = v128.load(w, 48);
    v128.store(out, bf16Even(t0));
    v128.store(out, bf16Even(t1), 16);
    v128.store(out, bf16Even(t2), 32);
    v128.store(out, bf16Even(t3), 48);
    v128.store(out, bf16Odd(t0, mask), 64);
    v128.store(out, bf16Odd(t1, mask), 80);
    v128.store(out, bf16Odd(t2, mask), 96);
    v128.store(out, bf16Odd(t3, mask), 112);
    w += 64;
    out += 128;
  }
}

/** Widens `count` columns of an f16 tile at `w` to [count][16] f32; a last odd one that is not there is written too. */
function widenF16(w: usize, out: usize, count: i32): void {
  const mask = f16Mask(), scale = f16Scale();
  for (let k = 0; k < count; k += 2) {
    const t0 = v128.load(w), t1 = v128.load(w, 16), t2 = v128.load(w, 32), t3 = v128.load(w, 48);
    v128.store(out, f32x4.mul(f16Even(t0, mask), scale));
    v128.store(out, f32x4.mul(f16Even(t1, mask), scale), 16);
    v128.store(out, f32x4.mul(f16Even(t2, mask), scale), 32);
    v128.store(out, f32x4.mul(f16Even(t3, mask), scale), 48);
    v128.store(out, f32x4.mul(f16Odd(t0, mask), scale), 64);
    v128.store(out, f32x4.mul(f16Odd(t1, mask), scale), 80);
    v128.store(out, f32x4.mul(f16Odd(t2, mask), scale), 96);
    v128.store(out, f32x4.mul(f16Odd(t3, mask), scale), 112);
    w += 64;
    out += 128;
  }
}

/** Widens `count` columns of an i8 tile at `w` to [count][16] f32. `scales`: [16] f32, one a row. */
function widenI8(w: usize, scales: usize, out: usize, count: i32): void {
  const s0 = v128.load(scales), s1 = v128.load(scales, 16), s2 = v128.load(scales, 32), s3 = v128.load(scales, 48);
  for (let k = 0; k < count; k += 4) {
    const t0 = v128.load(w), t1 = v128.load(w, 16), t2 = v128.load(w, 32), t3 = v128.load(w, 48);
    const last = min(4, count - k);
    for (let j = 0; j < last; j++) {
      v128.store(out, f32x4.mul(byteOf(t0, j), s0));
      v128.store(out, f32x4.mul(byteOf(t1, j), s1), 16);
      v128.store(out, f32x4.mul(byteOf(t2, j), s2), 32);
      v128.store(out, f32x4.mul(byteOf(t3, j), s3), 48);
      out += 64;
    }
    w += 64;
  }
}
