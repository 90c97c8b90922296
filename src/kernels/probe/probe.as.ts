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

/** `turns` x 12 independent multiply-adds of four lanes: 96 floating-point operations a turn. */
export function fma_peak(turns: i32, x: f32, y: f32): f32 {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0;
  let a6 = a0, a7 = a0, a8 = a0, a9 = a0, a10 = a0, a11 = a0;
  const u = f32x4.splat(x), v = f32x4.splat(y);
  for (let i = 0; i < turns; i++) {
    a0 = step(a0, u, v);
    a1 = step(a1, u, v);
    a2 = step(a2, u, v);
    a3 = step(a3, u, v);
    a4 = step(a4, u, v);
    a5 = step(a5, u, v);
    a6 = step(a6, u, v);
    a7 = step(a7, u, v);
    a8 = step(a8, u, v);
    a9 = step(a9, u, v);
    a10 = step(a10, u, v);
    a11 = step(a11, u, v);
  }
  const b0 = f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3));
  const b1 = f32x4.add(f32x4.add(a4, a5), f32x4.add(a6, a7));
  const b2 = f32x4.add(f32x4.add(a8, a9), f32x4.add(a10, a11));
  return sumLanes(f32x4.add(b0, f32x4.add(b1, b2)));
}
