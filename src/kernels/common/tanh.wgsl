// The hyperbolic tangent, and the soft cap that is made of it (Gemma 2, https://arxiv.org/abs/2408.00118). WGSL's own tanh
// may be computed as infinity over infinity. As on the CPU: the polynomial of Cephes' tanhf (Moshier) up to 0.625, where
// the other way cancels, and 1 - 2 / (exp(2 |x|) + 1) beyond.
#include "common/exp.wgsl"

fn tanh4(x: vec4<f32>) -> vec4<f32> {
  let z = x * x;
  var p = fma(vec4(-5.70498872745e-3f), z, vec4(2.06390887954e-2f));
  p = fma(p, z, vec4(-5.37397155531e-2f));
  p = fma(p, z, vec4(1.33314422036e-1f));
  p = fma(p, z, vec4(-3.33332819422e-1f));
  let near = fma(p * z, x, x);
  // Beyond 10 it is 1.
  let far = 1.0 - 2.0 / (exp4(2.0 * min(abs(x), vec4(10.0))) + 1.0);
  // The comparison is false for NaN, which stays.
  return select(near, sign(x) * far, abs(x) > vec4(0.625));
}

// cap · tanh(x / cap)
fn softCap4(x: vec4<f32>, cap: f32) -> vec4<f32> { return cap * tanh4(x / cap); }
fn softCap1(x: f32, cap: f32) -> f32 { return softCap4(vec4(x), cap).x; }
