// AssemblyScript. Index of the largest logit; the lowest index wins a tie, as in PyTorch's argmax on CPU.

import { maxLanes } from "../common/simd.as";

/** The index of the largest of x, [count] f32; -1 when any of them is NaN. */
export function argmax(x: usize, count: i32): i32 {
  let largest = f32x4.splat(-Infinity);
  let nan = i32x4.splat(0);
  const end = x + (<usize>count << 2);
  const whole = x + (<usize>(count & ~3) << 2);
  let p = x;
  for (; p < whole; p += 16) {
    const v = v128.load(p);
    nan = v128.or(nan, f32x4.ne(v, v));
    largest = f32x4.pmax(largest, v);
  }
  let best = maxLanes(largest);
  let bad = v128.any_true(nan);
  for (; p < end; p += 4) {
    const v = load<f32>(p);
    if (v != v) bad = true;
    best = max(best, v);
  }
  if (bad) return -1;
  const target = f32x4.splat(best);
  for (p = x; p < whole; p += 16) {
    const equal = i32x4.bitmask(f32x4.eq(v128.load(p), target));
    if (equal) return <i32>((p - x) >> 2) + ctz(equal);
  }
  for (; p < end; p += 4) if (load<f32>(p) == best) break;
  return <i32>((p - x) >> 2);
}
