// The activation of a feed-forward layer. Constant ACTIVATION: "silu", "relu", "gelu" or "gelu_tanh".
#if ACTIVATION == "relu"
// The comparison is false for NaN, which stays.
fn activate4(x: vec4<f32>) -> vec4<f32> { return select(x, vec4(0.0), x < vec4(0.0)); }
#else
#include "common/exp.wgsl"

#if ACTIVATION == "gelu"
// x · Φ(x) (Hendrycks & Gimpel 2016), within 12 ULP. WGSL has no erf, and 1 + erf(x / √2) cancels for negative x:
// Φ(-a), for a >= 0, is exp(-a² / 2) · R(a) with R(a) = exp(a² / 2) · erfc(a / √2) / 2, which is smooth: (1 + a / 2) ·
// R(a) is a polynomial in (a - 3.5) / (a + 3.5), as Shepherd & Laframboise 1981 have it for erfc; this one is fitted to
// a <= 13.3, where Φ(-a) ends, with a relative error of 4e-9. The exponential needs more digits of a² / 2, up to 88,
// than f32 has: the square of a's upper 12 bits is exact, and the rest comes apart.
fn activate4(x: vec4<f32>) -> vec4<f32> {
  let a = min(abs(x), vec4(14.0));
  let t = (a - 3.5) / (a + 3.5);
  var p = fma(vec4(6.82347963e-5f), t, vec4(1.15512623e-4f));
  p = fma(p, t, vec4(-5.16723958e-4f));
  p = fma(p, t, vec4(-5.49273449e-4f));
  p = fma(p, t, vec4(4.41032741e-3f));
  p = fma(p, t, vec4(-5.59691153e-3f));
  p = fma(p, t, vec4(-1.17960591e-2f));
  p = fma(p, t, vec4(6.33211508e-2f));
  p = fma(p, t, vec4(-1.42426133e-1f));
  p = fma(p, t, vec4(2.92449176e-1f));
  let high = bitcast<vec4<f32>>(bitcast<vec4<u32>>(a) & vec4(0xfffff000u));
  let tail = expSum4(-0.5 * high * high, -0.5 * (a - high) * (a + high)) * (p / fma(vec4(0.5f), a, vec4(1.0)));
  return x * select(tail, 1.0 - tail, x > vec4(0.0));
}
#else
// x · sigmoid(z), without infinity over infinity: the exponent is never positive. For "silu" (Elfwing et al. 2017) z is x.
// For "gelu_tanh", x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 x³))) (Hendrycks & Gimpel 2016), it is twice the argument of
// tanh, which some drivers compute as infinity over infinity and which cancels for negative x.
fn activate4(x: vec4<f32>) -> vec4<f32> {
#if ACTIVATION == "silu"
  let e = exp4(-abs(x));
#elif ACTIVATION == "gelu_tanh"
  // Beyond 20 the exponential is 0, and x³ is no infinity yet.
  let a = min(abs(x), vec4(20.0));
  let e = exp4(-1.5957691216f * fma(0.044715f * a, a * a, a));
#endif
  return x * select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}
#endif
#endif

fn activate1(x: f32) -> f32 { return activate4(vec4(x)).x; }
