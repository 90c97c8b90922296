// AssemblyScript. What this machine can do, for the benchmark's ratios: pure reads and register-only multiply-adds.

import { madd, sumLanes } from "../common/simd.as";

/** Reads `bytes` (a multiple of 64) from p as one sequential stream. */
export function read_stream(p: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a;
  const end = p + bytes;
  for (; p < end; p += 64) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
  }
  return lanes(v128.xor(v128.xor(a, b), v128.xor(c, d)));
}

/** Reads `bytes` (a multiple of 512) from p as four streams, a quarter each. */
export function read_streams4(p: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a;
  const quarter = bytes >> 2;
  const p1 = quarter, p2 = quarter + quarter, p3 = p2 + quarter;
  const end = p + quarter;
  for (; p < end; p += 64) {
    for (let o: usize = 0; o < 64; o += 16) {
      const q = p + o;
      a = v128.xor(a, v128.load(q));
      b = v128.xor(b, v128.load(q + p1));
      c = v128.xor(c, v128.load(q + p2));
      d = v128.xor(d, v128.load(q + p3));
    }
  }
  return lanes(v128.xor(v128.xor(a, b), v128.xor(c, d)));
}

/** Reads `bytes` (a multiple of 128) from p, the way the decode kernel does: one stream, 128 bytes a turn. */
export function read_wide(p: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const end = p + bytes;
  for (; p < end; p += 128) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
    e = v128.xor(e, v128.load(p, 64));
    f = v128.xor(f, v128.load(p, 80));
    g = v128.xor(g, v128.load(p, 96));
    h = v128.xor(h, v128.load(p, 112));
  }
  return lanes(v128.xor(v128.xor(v128.xor(a, b), v128.xor(c, d)), v128.xor(v128.xor(e, f), v128.xor(g, h))));
}

@inline
function lanes(v: v128): i32 {
  return i32x4.extract_lane(v, 0) ^ i32x4.extract_lane(v, 1) ^ i32x4.extract_lane(v, 2) ^ i32x4.extract_lane(v, 3);
}

/** One step of the peak loop. The baseline build has no fused step; its product must not be the same every turn. */
@inline
function step(a: v128, u: v128, v: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? madd(u, v, a) : f32x4.add(f32x4.mul(a, u), v);
}

/** Where accumulators begin and end: V8 makes 256-bit operations only between adjacent loads and adjacent stores (tile.as.ts). */
const ACCUMULATORS: usize = memory.data(24 * 16, 16);

/**
 * `turns` x 12 independent multiply-adds of four lanes: 96 floating-point operations a turn. The wide build does two turns at
 * once, in twelve registers of eight lanes.
 */
export function fma_peak(turns: i32, x: f32, y: f32): f32 {
  const sums = ACCUMULATORS;
  memory.fill(sums, 0, 24 * 16);
  if (WIDE) peak_wide(sums, turns >> 1, f32x4.splat(x), f32x4.splat(y));
  peak(sums, WIDE ? turns & 1 : turns, f32x4.splat(x), f32x4.splat(y));
  let sum = v128.load(sums);
  for (let i = 1; i < 24; i++) sum = f32x4.add(sum, v128.load(sums + (<usize>i << 4)));
  return sumLanes(sum);
}

function peak(sums: usize, turns: i32, u: v128, v: v128): void {
  let a0 = v128.load(sums, 0), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48);
  let a4 = v128.load(sums, 64), a5 = v128.load(sums, 80), a6 = v128.load(sums, 96), a7 = v128.load(sums, 112);
  let a8 = v128.load(sums, 128), a9 = v128.load(sums, 144), a10 = v128.load(sums, 160), a11 = v128.load(sums, 176);
  for (let i = 0; i < turns; i++) {
    a0 = step(a0, u, v); a1 = step(a1, u, v); a2 = step(a2, u, v); a3 = step(a3, u, v);
    a4 = step(a4, u, v); a5 = step(a5, u, v); a6 = step(a6, u, v); a7 = step(a7, u, v);
    a8 = step(a8, u, v); a9 = step(a9, u, v); a10 = step(a10, u, v); a11 = step(a11, u, v);
  }
  v128.store(sums, a0, 0); v128.store(sums, a1, 16); v128.store(sums, a2, 32); v128.store(sums, a3, 48);
  v128.store(sums, a4, 64); v128.store(sums, a5, 80); v128.store(sums, a6, 96); v128.store(sums, a7, 112);
  v128.store(sums, a8, 128); v128.store(sums, a9, 144); v128.store(sums, a10, 160); v128.store(sums, a11, 176);
}

function peak_wide(sums: usize, turns: i32, u: v128, v: v128): void {
  let a0 = v128.load(sums, 0), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48);
  let a4 = v128.load(sums, 64), a5 = v128.load(sums, 80), a6 = v128.load(sums, 96), a7 = v128.load(sums, 112);
  let a8 = v128.load(sums, 128), a9 = v128.load(sums, 144), a10 = v128.load(sums, 160), a11 = v128.load(sums, 176);
  let a12 = v128.load(sums, 192), a13 = v128.load(sums, 208), a14 = v128.load(sums, 224), a15 = v128.load(sums, 240);
  let a16 = v128.load(sums, 256), a17 = v128.load(sums, 272), a18 = v128.load(sums, 288), a19 = v128.load(sums, 304);
  let a20 = v128.load(sums, 320), a21 = v128.load(sums, 336), a22 = v128.load(sums, 352), a23 = v128.load(sums, 368);
  for (let i = 0; i < turns; i++) {
    a0 = step(a0, u, v); a1 = step(a1, u, v); a2 = step(a2, u, v); a3 = step(a3, u, v);
    a4 = step(a4, u, v); a5 = step(a5, u, v); a6 = step(a6, u, v); a7 = step(a7, u, v);
    a8 = step(a8, u, v); a9 = step(a9, u, v); a10 = step(a10, u, v); a11 = step(a11, u, v);
    a12 = step(a12, u, v); a13 = step(a13, u, v); a14 = step(a14, u, v); a15 = step(a15, u, v);
    a16 = step(a16, u, v); a17 = step(a17, u, v); a18 = step(a18, u, v); a19 = step(a19, u, v);
    a20 = step(a20, u, v); a21 = step(a21, u, v); a22 = step(a22, u, v); a23 = step(a23, u, v);
  }
  v128.store(sums, a0, 0); v128.store(sums, a1, 16); v128.store(sums, a2, 32); v128.store(sums, a3, 48);
  v128.store(sums, a4, 64); v128.store(sums, a5, 80); v128.store(sums, a6, 96); v128.store(sums, a7, 112);
  v128.store(sums, a8, 128); v128.store(sums, a9, 144); v128.store(sums, a10, 160); v128.store(sums, a11, 176);
  v128.store(sums, a12, 192); v128.store(sums, a13, 208); v128.store(sums, a14, 224); v128.store(sums, a15, 240);
  v128.store(sums, a16, 256); v128.store(sums, a17, 272); v128.store(sums, a18, 288); v128.store(sums, a19, 304);
  v128.store(sums, a20, 320); v128.store(sums, a21, 336); v128.store(sums, a22, 352); v128.store(sums, a23, 368);
}
