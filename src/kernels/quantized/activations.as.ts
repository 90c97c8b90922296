// AssemblyScript. Activations as int8: each group of 32 columns of a row has a scale of its own, max|x| / 127, so that a row's
// numbers depend on nothing but itself.

import { TILE_COLUMNS } from "../common/simd.as";

// By offset in bytes: 0: mask of a number without its sign, 4: what added to a number rounds it to the nearest integer, ties to
// even, in the lowest bits; 8: the least maximum of a group that is not taken as zero (1e-30).
const CONSTANTS: usize = memory.data<u32>([0x7fffffff, 0x4b400000, 0x0da24260]);

/**
 * Rows of a full register tile, as measured: a fourth one makes the wide build slower (V8 runs out of registers), a third one more
 * pays in 128 bits. WIDE: see linear/tile.as.ts.
 */
export const TILE: i32 = WIDE ? 3 : 4;

/** Rows of the next tile where `rows` are left: no more tiles than needed, all of about one height. */
@inline
export function heightOf(rows: i32): i32 {
  const tiles = (rows + TILE - 1) / TILE;
  return (rows + tiles - 1) / tiles;
}

/** Bytes of `rows` packed rows of `units` units: 64 integers, then scale and both shifts of two groups. */
@inline
export function packedRowsBytes(rows: i32, units: i32): usize {
  return <usize>(rows * units) * 88;
}

/**
 * Quantises x [rows][columns] (rows `ldx` bytes apart) for `gemm_quantized`. Tiles of TILE_COLUMNS columns follow each other,
 * in each of them register tiles of `height` rows: [8 words of a group][height] words of four int8, then f32 [groups][height]
 * each of scale, -1/16 sum of the group's integers, and -128 that sum. A last unit is filled with zeros. `out` has
 * packedRowsBytes(rows, units of all columns). A group with a NaN or an infinity has that as its scale.
 */
export function quantize_rows(x: usize, ldx: usize, rows: i32, columns: i32, out: usize): void {
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = min(columns - from, TILE_COLUMNS);
    const units = (width + 63) >> 6;
    for (let r = 0; r < rows; ) {
      const height = heightOf(rows - r);
      for (let m = 0; m < height; m++) {
        quantizeRow(x + <usize>(r + m) * ldx + (<usize>from << 2), width, units, height, out, m);
      }
      out += packedRowsBytes(height, units);
      r += height;
    }
  }
}

/** Row `m` of a register tile. */
function quantizeRow(x: usize, width: i32, units: i32, height: i32, out: usize, m: i32): void {
  const step = <usize>height << 2;
  const shift = <usize>(units * height) << 3;
  let q = out + (<usize>m << 2);
  let s = out + (<usize>(units * height) << 6) + (<usize>m << 2);
  for (let g = 0; g < units * 2; g++) {
    const count = min(width - g * 32, 32);
    const p = x + (<usize>g << 7);
    const scale = count == 32 ? quantizeGroup(p, q, step) : quantizeRest(p, max(count, 0), q, step);
    store<f32>(s, scale);
    store<f32>(s + shift, <f32>SUM * -0.0625);
    store<f32>(s + 2 * shift, <f32>SUM * -128.0);
    q += 8 * step;
    s += step;
  }
}

/** Sum of the integers of the group that was quantised last. */
let SUM: i32 = 0;

/** Quantises 32 numbers; word i goes to q + i * step. Returns the scale. */
@inline
function quantizeGroup(p: usize, q: usize, step: usize): f32 {
  const mask = v128.load32_splat(CONSTANTS);
  let most = v128.and(v128.load(p), mask);
  // Bits of numbers without sign have the order of the numbers, NaN last.
  for (let i: usize = 16; i < 128; i += 16) most = i32x4.max_s(most, v128.and(v128.load(p + i), mask));
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2));
  const largest = reinterpret<f32>(i32x4.extract_lane(most, 0));
  const isZero = i32x4.extract_lane(most, 0) < load<i32>(CONSTANTS, 8);
  const factor = f32x4.splat(isZero ? <f32>0.0 : <f32>127.0 / largest);
  const rounding = v128.load32_splat(CONSTANTS, 4);
  let sum = i32x4.splat(0);
  for (let i = 0; i < 2; i++) {
    const i0 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p), factor), rounding), rounding);
    const i1 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 16), factor), rounding), rounding);
    const i2 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 32), factor), rounding), rounding);
    const i3 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 48), factor), rounding), rounding);
    sum = i32x4.add(sum, i32x4.add(i32x4.add(i0, i1), i32x4.add(i2, i3)));
    const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(i0, i1), i16x8.narrow_i32x4_s(i2, i3));
    v128.store32_lane(q, bytes, 0);
    v128.store32_lane(q + step, bytes, 1);
    v128.store32_lane(q + 2 * step, bytes, 2);
    v128.store32_lane(q + 3 * step, bytes, 3);
    p += 64;
    q += 4 * step;
  }
  sum = i32x4.add(sum, v128.shuffle<i32>(sum, sum, 2, 3, 0, 1));
  SUM = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1);
  return isZero ? <f32>0.0 : largest / <f32>127.0;
}

/** Quantises the last `count` numbers of a row, fewer than 32, and zeros behind them, with the bits of quantizeGroup. */
function quantizeRest(p: usize, count: i32, q: usize, step: usize): f32 {
  let most = 0;
  for (let i = 0; i < count; i++) most = max(most, load<i32>(p + (<usize>i << 2)) & 0x7fffffff);
  const largest = reinterpret<f32>(most);
  const isZero = most < load<i32>(CONSTANTS, 8);
  const factor = isZero ? <f32>0.0 : <f32>127.0 / largest;
  SUM = 0;
  for (let word = 0; word < 8; word++) {
    let bytes: u32 = 0;
    for (let i = 0; i < 4; i++) {
      const c = word * 4 + i;
      if (c >= count) break;
      const rounded = load<f32>(p + (<usize>c << 2)) * factor + reinterpret<f32>(0x4b400000);
      const integer = reinterpret<i32>(rounded) - 0x4b400000;
      SUM += integer;
      bytes |= <u32>(integer & 0xff) << (8 * i);
    }
    store<u32>(q, bytes);
    q += step;
  }
  return isZero ? <f32>0.0 : largest / <f32>127.0;
}
