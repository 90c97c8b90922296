// AssemblyScript. The hyperbolic tangent, and the soft cap that is made of it (Gemma 2, https://arxiv.org/abs/2408.00118).

import { exp4, madd } from "./simd.as";

// By offset in bytes: 0..16: polynomial, highest first; 20: where it ends; 24: 2; 28: 1; 32: the bits but the sign.
const TANH: usize = memory.data<f32>([
  -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1, 0.625, 2.0, 1.0,
]);
const MAGNITUDE: usize = memory.data<u32>([0x7fffffff]);

/**
 * tanh(x), four lanes, within 4 ulp: the polynomial of Cephes' tanhf (Moshier) up to 0.625, where the other way cancels, and
 * 1 - 2 / (exp(2 |x|) + 1) beyond.
 */
@inline
export function tanh4(x: v128): v128 {
  const z = f32x4.mul(x, x);
  let p = v128.load32_splat(TANH);
  p = madd(p, z, v128.load32_splat(TANH, 4));
  p = madd(p, z, v128.load32_splat(TANH, 8));
  p = madd(p, z, v128.load32_splat(TANH, 12));
  p = madd(p, z, v128.load32_splat(TANH, 16));
  const near = madd(f32x4.mul(p, z), x, x);
  const a = v128.and(x, v128.load32_splat(MAGNITUDE));
  const one = v128.load32_splat(TANH, 28);
  const rest = f32x4.div(v128.load32_splat(TANH, 24), f32x4.add(exp4(f32x4.add(a, a)), one));
  const far = v128.bitselect(f32x4.sub(one, rest), x, v128.load32_splat(MAGNITUDE));
  return v128.bitselect(near, far, f32x4.lt(a, v128.load32_splat(TANH, 20)));
}

/** cap · tanh(x / cap), four lanes. */
@inline
export function softCap4(x: v128, cap: v128): v128 {
  return f32x4.mul(tanh4(f32x4.div(x, cap)), cap);
}
