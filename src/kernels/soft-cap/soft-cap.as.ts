// AssemblyScript. The soft cap of logits, in place: x = cap · tanh(x / cap).

import { softCap4 } from "../common/tanh.as";

/** Caps x, [rows] of `columns` f32 (a multiple of 4), rows `stride` bytes apart, at `cap` > 0. */
export function soft_cap(x: usize, rows: i32, columns: i32, stride: usize, cap: f32): void {
  const bytes = <usize>columns << 2;
  const limit = f32x4.splat(cap);
  for (let r = 0; r < rows; r++) {
    for (let o: usize = 0; o < bytes; o += 16) v128.store(x + o, softCap4(v128.load(x + o), limit));
    x += stride;
  }
}
