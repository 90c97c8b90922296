// x · sigmoid(x) (Hendrycks & Gimpel 2016), without infinity over infinity: the exponent is never positive.
fn silu(x: f32) -> f32 {
  let e = exp(-abs(x));
  return x * select(e, 1.0, x >= 0.0) / (1.0 + e);
}
