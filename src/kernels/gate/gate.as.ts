// AssemblyScript. SwiGLU's gate (Shazeer 2020): y = silu(gate) * up, silu(z) = z / (1 + exp(-z)).

import { exp4 } from "../common/simd.as";

/**
 * Computes the gate. gate, up and y are [rows] of `columns` f32 (a multiple of 4), rows `stride` bytes apart. y may be
 * gate.
 */
export function gate(gate: usize, up: usize, y: usize, rows: i32, columns: i32, stride: usize): void {
  const one = f32x4.splat(1);
  for (let r = 0; r < rows; r++) {
    const bytes = <usize>columns << 2;
    for (let o: usize = 0; o < bytes; o += 16) {
      const z = v128.load(gate + o);
      const s = f32x4.div(z, f32x4.add(one, exp4(f32x4.neg(z))));
      v128.store(y + o, f32x4.mul(s, v128.load(up + o)));
    }
    gate += stride;
    up += stride;
    y += stride;
  }
}
