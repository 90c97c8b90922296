// AssemblyScript. Numbers of a KV cache of f16 become f32, a panel or a head at a time, in scratch that stays in the L1 or L2 cache.

import { f16Mask, f16Scale } from "../linear/widen.as";

/** Widens `count` f16 numbers (a multiple of 16) at `p` to f32 at `out`, exactly; infinities and NaN stay what they are. */
export function widen_half(p: usize, count: i32, out: usize): void {
  const mask = f16Mask(), scale = f16Scale();
  const sizes = i16x8.splat(0x7fff);
  let largest = i16x8.splat(0);
  const end = p + (<usize>count << 1);
  let to = out;
  for (let from = p; from < end; from += 32) {
    const w0 = v128.load(from), w1 = v128.load(from, 16);
    largest = i16x8.max_u(largest, i16x8.max_u(v128.and(w0, sizes), v128.and(w1, sizes)));
    // linear/widen.as.ts says why this is exact. No load16x4_s: of two, V8 13.6 makes a wide load from the second address.
    const h0 = v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(w0), 13), mask);
    const h1 = v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(w0), 13), mask);
    const h2 = v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(w1), 13), mask);
    const h3 = v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(w1), 13), mask);
    v128.store(to, f32x4.mul(h0, scale));
    v128.store(to, f32x4.mul(h1, scale), 16);
    v128.store(to, f32x4.mul(h2, scale), 32);
    v128.store(to, f32x4.mul(h3, scale), 48);
    to += 64;
  }
  if (v128.any_true(i16x8.gt_u(largest, i16x8.splat(0x7bff)))) mendSpecial(p, count, out);
}

/** Infinities and NaN have an exponent of their own; they come only where a model is broken, and must show. */
function mendSpecial(p: usize, count: i32, out: usize): void {
  for (let i = 0; i < count; i++) {
    const bits = <u32>load<u16>(p + (<usize>i << 1));
    if ((bits & 0x7c00) == 0x7c00) {
      store<u32>(out + (<usize>i << 2), ((bits & 0x8000) << 16) | 0x7f800000 | ((bits & 0x3ff) << 13));
    }
  }
}
