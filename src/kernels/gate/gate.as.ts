// AssemblyScript. The gate of a gated linear unit (Shazeer 2020): y = activation(gate) * up.

import { GELU, gelu, geluTanh, RELU, relu, SILU, silu } from "../common/activation.as";
import { exp4 } from "../common/simd.as";

/**
 * Computes the gate. gate, up and y are [rows] of `columns` f32 (a multiple of 4), rows `stride` bytes apart. y may be
 * gate. activation: a number of ACTIVATION_CODE.
 */
export function gate(
  gate: usize, up: usize, y: usize, rows: i32, columns: i32, stride: usize, activation: i32,
): void {
  const bytes = <usize>columns << 2;
  for (let r = 0; r < rows; r++) {
    if (activation == SILU) {
      for (let o: usize = 0; o < bytes; o += 16) {
        v128.store(y + o, f32x4.mul(silu(v128.load(gate + o)), v128.load(up + o)));
      }
    } else if (activation == RELU) {
      for (let o: usize = 0; o < bytes; o += 16) {
        v128.store(y + o, f32x4.mul(relu(v128.load(gate + o)), v128.load(up + o)));
      }
    } else if (activation == GELU) {
      for (let o: usize = 0; o < bytes; o += 16) {
        v128.store(y + o, f32x4.mul(gelu(v128.load(gate + o)), v128.load(up + o)));
      }
    } else {
      for (let o: usize = 0; o < bytes; o += 16) {
        v128.store(y + o, f32x4.mul(geluTanh(v128.load(gate + o)), v128.load(up + o)));
      }
    }
    gate += stride;
    up += stride;
    y += stride;
  }
}

/**
 * Computes a clamped gate: y = g * sigmoid(alpha * g) * (u + 1), where g is the lesser of gate and limit, and u is up within
 * ± limit. The operands are as for `gate`.
 */
export function gate_clamped(
  gate: usize, up: usize, y: usize, rows: i32, columns: i32, stride: usize, alpha: f32, limit: f32,
): void {
  const bytes = <usize>columns << 2;
  const factor = f32x4.splat(-alpha), most = f32x4.splat(limit), least = f32x4.splat(-limit), one = f32x4.splat(1);
  for (let r = 0; r < rows; r++) {
    for (let o: usize = 0; o < bytes; o += 16) {
      // What is no number stays so.
      const g = f32x4.min(v128.load(gate + o), most);
      const u = f32x4.max(f32x4.min(v128.load(up + o), most), least);
      const gated = f32x4.div(g, f32x4.add(one, exp4(f32x4.mul(g, factor))));
      v128.store(y + o, f32x4.mul(gated, f32x4.add(u, one)));
    }
    gate += stride;
    up += stride;
    y += stride;
  }
}
