// AssemblyScript. What a group of 32 weights becomes as int8 or int4, wherever it lies afterwards: quantize.as.ts makes panels for the
// CPU of it, quantize-rows.as.ts rows for the GPU.
//
// int8: the scale of a group of 32 is max|w| / 127, rounded up to bf16, so that every weight fits.
//
// int4: scale and zero of a group minimise the sum of e (w - s (q - z))^2 with the weight e = |w| + the root mean square of the
// group, over steps of a grid of scales, for each of which the rounded q give scale and zero by least squares (the search of
// llama.cpp's Q4_K in its idea: "make_qkx2_quants"); the best is then fitted to its own q again, a few times. The row's scale is
// chosen for the largest of its groups. Scale and zero are stored in eight bits each: a group takes the best of the four stored
// scales around its own, each with the zero that suits it.

import { f16Scale } from "../linear/widen.as";
import { LARGEST_SCALE, scaleOfByte } from "./layout.as";

/** Steps of the search's grid, and how far it reaches: the range of 15 steps is tried as 15 + FIRST .. 15 + FIRST + STEPS * STEP. */
const STEPS: i32 = 5;
const FIRST: f32 = -1.0;
const STEP: f32 = 0.5;
/** Zeros that are tried with each stored scale. */
const ZEROS: i32 = 2;
/** How often the best of the grid is fitted anew. */
const REFITS: i32 = 3;

/** Whether every weight was a number since `expectFinite`. */
let isFinite: i32 = 1;

export function expectFinite(): void {
  isFinite = 1;
}

/** 0 where a weight was infinite or NaN since `expectFinite`, else 1. */
export function wereFinite(): i32 {
  return isFinite;
}

/** Widens a row to f32. format: 0 f32, 1 f16, 2 bf16. */
export function widenRow(p: usize, columns: i32, out: usize, format: i32): void {
  if (format == 0) {
    memory.copy(out, p, <usize>columns << 2);
    return;
  }
  const scale = f32x4.extract_lane(f16Scale(), 0);
  for (let c = 0; c < columns; c++) {
    const bits = <u32>load<u16>(p + (<usize>c << 1)) << 16;
    const value = format == 2 ? reinterpret<f32>(bits) : reinterpret<f32>((<u32>((<i32>bits) >> 3)) & 0x8fffe000) * scale;
    store<f32>(out + (<usize>c << 2), value);
  }
}

/** The bits of the scale of 32 weights as int8, as an f32. */
export function scaleOfEight(x: usize): u32 {
  let most = 0;
  for (let c = 0; c < 32; c++) most = max(most, load<i32>(x + (<usize>c << 2)) & 0x7fffffff);
  if (most >= 0x7f800000) isFinite = 0;
  const exact = reinterpret<f32>(most) / <f32>127.0;
  // Rounded up, so that no weight is beyond 127 steps.
  return (reinterpret<u32>(exact) + 0xffff) & 0xffff0000;
}

/** The byte of a weight in a group with this scale. */
@inline
export function eight(value: f32, scale: f32): u32 {
  const q = scale == 0 ? <f32>0.0 : nearest<f32>(value / scale);
  return <u32>(<i32>max<f32>(-127.0, min<f32>(127.0, q)) + 128);
}

/** Scale and zero (as a number of steps) of each group of a row as well as f32 holds them. Returns the row's scale. */
export function searchRow(x: usize, groups: i32, parameters: usize): f32 {
  let largest: f32 = 0.0;
  for (let g = 0; g < groups; g++) {
    largest = max<f32>(largest, searchGroup(x + (<usize>g << 7), parameters + (<usize>g << 3)));
  }
  return largest / LARGEST_SCALE;
}

/** The sum of four lanes. */
@inline
function sum4(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** Finds scale and zero of 32 numbers, stores them at `to` and returns the scale; 0 where all are zero. */
function searchGroup(x: usize, to: usize): f32 {
  let least = f32x4.splat(0), most = least, squares = least;
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    least = f32x4.pmin(least, v);
    most = f32x4.pmax(most, v);
    squares = f32x4.add(squares, f32x4.mul(v, v));
  }
  const low = min<f32>(
    min<f32>(f32x4.extract_lane(least, 0), f32x4.extract_lane(least, 1)),
    min<f32>(f32x4.extract_lane(least, 2), f32x4.extract_lane(least, 3)),
  );
  const high = max<f32>(
    max<f32>(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
    max<f32>(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  );
  if (!(high > low)) {
    if (sum4(squares) != 0) isFinite = 0;
    store<f32>(to, 0.0);
    store<f32>(to, 0.0, 4);
    return 0.0;
  }
  const mean = sum4(squares) / <f32>32.0;
  if (!(mean < Infinity)) isFinite = 0;
  const rms = f32x4.splat(sqrt<f32>(mean));
  // Sums over the group of e, e w.
  let sumE = f32x4.splat(0), sumW = sumE;
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    const e = f32x4.add(rms, f32x4.abs(v));
    sumE = f32x4.add(sumE, e);
    sumW = f32x4.add(sumW, f32x4.mul(e, v));
  }
  const e0 = sum4(sumE), w0 = sum4(sumW);
  let bestScale = (high - low) / <f32>15.0, bestZero = -low / bestScale;
  let bestError = errorOf(x, rms, bestScale, bestZero);
  // Behind the grid's steps the best so far is fitted to the q that it gives.
  for (let step = 0; step <= STEPS + REFITS; step++) {
    let factor = (<f32>15.0 + FIRST + STEP * <f32>step) / (high - low), start = -low * factor;
    if (step > STEPS) {
      factor = <f32>1.0 / bestScale;
      start = bestZero;
    }
    // q of each number, and the sums of e q, e q^2, e q w.
    const f = f32x4.splat(factor), shift = f32x4.splat(start);
    const zero = f32x4.splat(0), top = f32x4.splat(15);
    let sumQ = zero, sumQQ = zero, sumQW = zero;
    for (let i: usize = 0; i < 128; i += 16) {
      const v = v128.load(x + i);
      const e = f32x4.add(rms, f32x4.abs(v));
      const q = f32x4.pmin(f32x4.pmax(f32x4.nearest(f32x4.add(f32x4.mul(v, f), shift)), zero), top);
      const eq = f32x4.mul(e, q);
      sumQ = f32x4.add(sumQ, eq);
      sumQQ = f32x4.add(sumQQ, f32x4.mul(eq, q));
      sumQW = f32x4.add(sumQW, f32x4.mul(eq, v));
    }
    const q1 = sum4(sumQ), q2 = sum4(sumQQ), qw = sum4(sumQW);
    const determinant = e0 * q2 - q1 * q1;
    if (!(determinant > 0)) continue;
    let scale = (e0 * qw - q1 * w0) / determinant;
    if (!(scale > 0)) continue;
    let z = (q1 - w0 / scale) / e0;
    if (z < 0) {
      z = 0;
      scale = qw / q2;
      if (!(scale > 0)) continue;
    }
    const error = errorOf(x, rms, scale, z);
    if (error < bestError) {
      bestError = error;
      bestScale = scale;
      bestZero = z;
    }
  }
  store<f32>(to, bestScale);
  store<f32>(to, bestZero, 4);
  return bestScale;
}

/** The sum of e (w - s (q - z))^2 over 32 numbers, each with the best q in 0 .. 15. */
function errorOf(x: usize, rms: v128, scale: f32, z: f32): f32 {
  const factor = f32x4.splat(<f32>1.0 / scale), s = f32x4.splat(scale), shift = f32x4.splat(z);
  const zero = f32x4.splat(0), top = f32x4.splat(15);
  let sum = zero;
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    const e = f32x4.add(rms, f32x4.abs(v));
    const q = f32x4.pmin(f32x4.pmax(f32x4.nearest(f32x4.add(f32x4.mul(v, factor), shift)), zero), top);
    const d = f32x4.sub(v, f32x4.mul(f32x4.sub(q, shift), s));
    sum = f32x4.add(sum, f32x4.mul(f32x4.mul(d, d), e));
  }
  return sum4(sum);
}

/** The zero that minimises the sum of e (w - s (q - z))^2 over 32 numbers, each with the q that is best with the zero z. */
function bestZeroOf(x: usize, rms: v128, scale: f32, z: f32): f32 {
  const factor = f32x4.splat(<f32>1.0 / scale), shift = f32x4.splat(z);
  const zero = f32x4.splat(0), top = f32x4.splat(15);
  let sum = zero, weight = zero;
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    const e = f32x4.add(rms, f32x4.abs(v));
    const exact = f32x4.mul(v, factor);
    const q = f32x4.pmin(f32x4.pmax(f32x4.nearest(f32x4.add(exact, shift)), zero), top);
    sum = f32x4.add(sum, f32x4.mul(f32x4.sub(q, exact), e));
    weight = f32x4.add(weight, e);
  }
  return sum4(sum) / sum4(weight);
}

/** The two bytes of a group, zero and scale, whose weights are nearest to 32 numbers. */
export function storedOf(x: usize, scale: f32, z: f32, rowScale: f32): u32 {
  if (!(scale > 0)) return 0;
  let squares = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) squares = f32x4.add(squares, f32x4.mul(v128.load(x + i), v128.load(x + i)));
  const rms = f32x4.splat(sqrt<f32>(sum4(squares) / <f32>32.0));
  let below = 0;
  // The stored scales grow with their bytes.
  for (let bit = 128; bit > 0; bit >>= 1) {
    if (scaleOfByte(below | bit) * rowScale <= scale) below |= bit;
  }
  let best: u32 = 0, bestError = Infinity as f32;
  for (let byte = max(below - 1, 0); byte <= min(below + 2, 255); byte++) {
    const s = scaleOfByte(byte) * rowScale;
    // The group's least number stays where it was, at first.
    let zero = (z * scale) / s;
    for (let round = 0; round < ZEROS; round++) {
      const center = <i32>max<f32>(0.0, min<f32>(255.0, nearest<f32>(zero * <f32>16.0)));
      const error = errorOf(x, rms, s, <f32>center * <f32>0.0625);
      if (error < bestError) {
        bestError = error;
        best = <u32>center | (<u32>byte << 8);
      }
      zero = bestZeroOf(x, rms, s, zero);
    }
  }
  return best;
}

/** The four bits of a weight in a group with these two bytes. */
@inline
export function four(value: f32, stored: u32, rowScale: f32): u32 {
  const s = scaleOfByte(<i32>(stored >> 8)) * rowScale;
  if (!(s > 0)) return 0;
  const q = nearest<f32>(value / s + <f32>(stored & 0xff) * <f32>0.0625);
  return <u32>max<f32>(0.0, min<f32>(15.0, q));
}
