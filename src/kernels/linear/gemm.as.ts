// AssemblyScript. Many rows of activations against weight tiles (Goto & van de Geijn 2008): activations are packed once a
// call into [column block][register tile][k][6]; each weight tile is widened to f32 [k][8] + [k][8], 16 KiB, in the L1
// cache and multiplied with all rows. Weights are read once however many rows there are.

import { PANEL, TILE_COLUMNS } from "../common/simd.as";
import { tile, TILE } from "./tile.as";
import { bf16Even, bf16Mask, bf16Odd, byteOf, f16Even, f16Mask, f16Odd, f16Scale, wordsOf } from "./widen.as";

/** Packs x [rows][columns] (rows `ldx` bytes apart) for gemm_*; `out` holds rows x columns f32. */
export function pack_rows(x: usize, ldx: usize, rows: i32, columns: i32, out: usize): void {
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const count = min(columns - from, TILE_COLUMNS);
    for (let r = 0; r < rows; r += TILE) {
      const height = min(rows - r, TILE);
      const source = x + <usize>r * ldx + (<usize>from << 2);
      for (let m = 0; m < height; m++) {
        let p = source + <usize>m * ldx;
        let o = out + (<usize>m << 2);
        const step = <usize>height << 2;
        for (let k = 0; k < count; k++) {
          store<f32>(o, load<f32>(p));
          p += 4;
          o += step;
        }
      }
      out += <usize>(height * count) << 2;
    }
  }
}

/**
 * y[r, 16p + i] (+)= sum over k of x[r, k] * w[16p + i, k] for the panels p = first .. first + count - 1 of the
 * `panels` panels at `w`. `a`: packed rows. `b`: scratch of (TILE_COLUMNS + 1) x 16 f32. y: address of panel 0; rows
 * are `ldy` bytes apart and padded to whole panels. `format`: see wordsOf.
 */
export function gemm(
  a: usize, rows: i32, w: usize, panels: i32, first: i32, count: i32, y: usize, ldy: usize, columns: i32, accumulate: i32,
  b: usize, format: i32,
): void {
  const scales = w + (<usize>(panels * wordsOf(columns, format)) << 6);
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const add = (accumulate | from) != 0;
    const right = b + (<usize>width << 5);
    const tileBytes = <usize>wordsOf(width, format) << 6;
    let weights = w + <usize>first * tileBytes;
    for (let p = first; p < first + count; p++) {
      if (format == 2) widenBf16(weights, b, right, width);
      else if (format == 1) widenF16(weights, b, right, width);
      else if (format == 3) widenI8(weights, scales + (<usize>p << 6), b, right, width);
      else splitF32(weights, b, right, width);
      const out = y + (<usize>(p * PANEL) << 2);
      multiply(a, b, out, rows, width, ldy, add);
      multiply(a, right, out + 32, rows, width, ldy, add);
      weights += tileBytes;
    }
    w += <usize>panels * tileBytes;
    a += <usize>(rows * width) << 2;
  }
}

function multiply(a: usize, b: usize, y: usize, rows: i32, count: i32, ldy: usize, add: bool): void {
  for (let r = 0; r < rows; r += TILE) {
    const height = min(rows - r, TILE);
    tile(a, b, y, count, height, ldy, add);
    a += <usize>(height * count) << 2;
    y += ldy * TILE;
  }
}

function widenBf16(w: usize, left: usize, right: usize, count: i32): void {
  const mask = bf16Mask();
  for (let k = 0; k < count; k += 2) {
    let t = v128.load(w), u = v128.load(w, 16);
    v128.store(left, bf16Even(t));
    v128.store(left, bf16Even(u), 16);
    if (k + 1 < count) {
      v128.store(left, bf16Odd(t, mask), 32);
      v128.store(left, bf16Odd(u, mask), 48);
    }
    t = v128.load(w, 32);
    u = v128.load(w, 48);
    v128.store(right, bf16Even(t));
    v128.store(right, bf16Even(u), 16);
    v128.store(right, bf16Odd(t, mask), 32);
    v128.store(right, bf16Odd(u, mask), 48);
    w += 64;
    left += 64;
    right += 64;
  }
}

function widenF16(w: usize, left: usize, right: usize, count: i32): void {
  const mask = f16Mask(), scale = f16Scale();
  for (let k = 0; k < count; k += 2) {
    let t = v128.load(w), u = v128.load(w, 16);
    v128.store(left, f32x4.mul(f16Even(t, mask), scale));
    v128.store(left, f32x4.mul(f16Even(u, mask), scale), 16);
    if (k + 1 < count) {
      v128.store(left, f32x4.mul(f16Odd(t, mask), scale), 32);
      v128.store(left, f32x4.mul(f16Odd(u, mask), scale), 48);
    }
    t = v128.load(w, 32);
    u = v128.load(w, 48);
    v128.store(right, f32x4.mul(f16Even(t, mask), scale));
    v128.store(right, f32x4.mul(f16Even(u, mask), scale), 16);
    v128.store(right, f32x4.mul(f16Odd(t, mask), scale), 32);
    v128.store(right, f32x4.mul(f16Odd(u, mask), scale), 48);
    w += 64;
    left += 64;
    right += 64;
  }
}

/**
 * Widens `count` columns of an i8 panel at `w` to [count][8] f32 at `left` and `right`. `scales`: [16] f32, one a row.
 */
function widenI8(w: usize, scales: usize, left: usize, right: usize, count: i32): void {
  const s0 = v128.load(scales), s1 = v128.load(scales, 16), s2 = v128.load(scales, 32), s3 = v128.load(scales, 48);
  for (let k = 0; k < count; k += 4) {
    const t0 = v128.load(w), t1 = v128.load(w, 16), t2 = v128.load(w, 32), t3 = v128.load(w, 48);
    const last = min(4, count - k);
    for (let j = 0; j < last; j++) {
      v128.store(left, f32x4.mul(byteOf(t0, j), s0));
      v128.store(left, f32x4.mul(byteOf(t1, j), s1), 16);
      v128.store(right, f32x4.mul(byteOf(t2, j), s2));
      v128.store(right, f32x4.mul(byteOf(t3, j), s3), 16);
      left += 32;
      right += 32;
    }
    w += 64;
  }
}

function splitF32(w: usize, left: usize, right: usize, count: i32): void {
  for (let k = 0; k < count; k++) {
    v128.store(left, v128.load(w));
    v128.store(left, v128.load(w, 16), 16);
    v128.store(right, v128.load(w, 32));
    v128.store(right, v128.load(w, 48), 16);
    w += 64;
    left += 32;
    right += 32;
  }
}
