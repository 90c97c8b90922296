// AssemblyScript. Many rows of activations against row panels (Goto & van de Geijn 2008): activations are packed once a
// call into [column block][tile][k][6]; for each column block, a panel is widened to f32 [k][8] + [k][8] in the L1
// cache and multiplied with every tile. Weights are read once however many rows there are.

import { PANEL } from "../common/simd.as";
import { tile, TILE } from "./tile.as";
import { bf16Even, bf16Mask, bf16Odd, f16Even, f16Mask, f16Odd, f16Scale } from "./widen.as";

/** Columns of a block: 256 x 16 f32 of a widened panel are 16 KiB, half of a common L1 cache. */
const COLUMNS: i32 = 256;

/** Packs x [rows][columns] (rows `ldx` bytes apart) for gemm_*; `out` holds rows x columns f32. */
export function pack_rows(x: usize, ldx: usize, rows: i32, columns: i32, out: usize): void {
  for (let from = 0; from < columns; from += COLUMNS) {
    const count = min(columns - from, COLUMNS);
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
 * y[r, 16p + i] (+)= sum over k of x[r, k] * w[16p + i, k] for the panels at `w`.
 * `a`: packed rows. `b`: scratch of COLUMNS x 16 f32. y rows are `ldy` bytes apart and padded to whole panels.
 * `format`: 0 f32, 1 f16, 2 bf16.
 */
export function gemm(
  a: usize, rows: i32, w: usize, y: usize, ldy: usize, panels: i32, columns: i32, accumulate: i32, b: usize, format: i32,
): void {
  const stride = format == 0 ? <usize>columns << 6 : <usize>((columns + 1) >> 1) << 6;
  for (let from = 0; from < columns; from += COLUMNS) {
    const count = min(columns - from, COLUMNS);
    const add = (accumulate | from) != 0;
    const right = b + (<usize>count << 5);
    let panel = w + (format == 0 ? <usize>from << 6 : <usize>from << 5);
    for (let p = 0; p < panels; p++) {
      if (format == 2) widenBf16(panel, b, right, count);
      else if (format == 1) widenF16(panel, b, right, count);
      else splitF32(panel, b, right, count);
      const out = y + <usize>(p * PANEL) * 4;
      multiply(a, b, out, rows, count, ldy, add);
      multiply(a, right, out + 32, rows, count, ldy, add);
      panel += stride;
    }
    a += <usize>(rows * count) << 2;
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
