// AssemblyScript. Activations of feed-forward layers.

import { GELU, gelu, geluTanh, RELU, relu, SILU, silu } from "../common/activation.as";

/** y = activation(x) over [rows][columns] f32 (columns: a multiple of 4), rows `stride` bytes apart. y may be x. */
export function activate(x: usize, y: usize, rows: i32, columns: i32, stride: usize, activation: i32): void {
  const bytes = <usize>columns << 2;
  for (let r = 0; r < rows; r++) {
    if (activation == SILU) {
      for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, silu(v128.load(x + o)));
    } else if (activation == RELU) {
      for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, relu(v128.load(x + o)));
    } else if (activation == GELU) {
      for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, gelu(v128.load(x + o)));
    } else {
      for (let o: usize = 0; o < bytes; o += 16) v128.store(y + o, geluTanh(v128.load(x + o)));
    }
    x += stride;
    y += stride;
  }
}
