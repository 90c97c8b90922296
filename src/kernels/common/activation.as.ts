// AssemblyScript. Activation functions, four lanes each; activate/ and gate/ are the kernels of them.

import { exp4, madd } from "./simd.as";

// These are numbers of ACTIVATION_CODE in wasm-module.ts; the one that is left is gelu_tanh.
export const SILU: i32 = 0;
export const RELU: i32 = 1;
export const GELU: i32 = 2;

// By offset in bytes: 0..32: Q, highest first; 36: 4; 40: sqrt(1/2); 44: -2 sqrt(2/pi); 48: that * 0.044715
const GELU_CONSTANTS: usize = memory.data<f32>([
  -8.04414776e-6, 1.06029678e-4, -5.87962102e-4, 1.57678255e-3, -5.88061775e-5, -1.92171279e-2, 0.102799207,
  0.636616111, 1.12837934,
  4.0, 0.70710678118654752, -1.5957691216057308, -0.071354816272600277,
]);

@inline
export function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/**
 * GELU (Hendrycks & Gimpel 2016), x Φ(x) = x/2 · erfc(-x/√2). For t = |x|/√2 <= 4, erfc(t) = exp(-t Q(t)) with a
 * minimax polynomial Q of our own, within 4e-8; beyond, erfc(t) < 2e-8 counts as 0. Neither side cancels.
 */
@inline
export function gelu(x: v128): v128 {
  const limit = v128.load32_splat(GELU_CONSTANTS, 36);
  const t = f32x4.mul(f32x4.abs(x), v128.load32_splat(GELU_CONSTANTS, 40));
  let q = v128.load32_splat(GELU_CONSTANTS);
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 4));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 8));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 12));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 16));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 20));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 24));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 28));
  q = madd(q, t, v128.load32_splat(GELU_CONSTANTS, 32));
  const e = v128.andnot(exp4(f32x4.neg(f32x4.mul(q, t))), f32x4.gt(t, limit));
  const tail = v128.bitselect(e, f32x4.sub(f32x4.splat(2), e), f32x4.lt(x, f32x4.splat(0)));
  return f32x4.mul(f32x4.mul(x, f32x4.splat(0.5)), tail);
}

/** GELU with tanh (GPT-2's gelu_new): x/2 · (1 + tanh u) = x / (1 + exp(-2u)), u = √(2/π) (x + 0.044715 x³). */
@inline
export function geluTanh(x: v128): v128 {
  const cubic = madd(f32x4.mul(x, x), v128.load32_splat(GELU_CONSTANTS, 48), v128.load32_splat(GELU_CONSTANTS, 44));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.mul(x, cubic))));
}

@inline
export function relu(x: v128): v128 {
  return f32x4.max(x, f32x4.splat(0));
}
