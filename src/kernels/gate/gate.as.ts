// AssemblyScript. The gate of a gated linear unit (Shazeer 2020): y = activation(gate) * up.

import { GELU, gelu, geluTanh, RELU, relu, SILU, silu } from "../common/activation.as";

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
