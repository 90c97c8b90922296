// exp(x) for x <= 88, within 2 ULP where the result is a normal number; below that 0. WGSL's own exp may err by
// 3 + 2 |x| ULP, and by a different amount on every adapter. Range reduction and polynomial of Cephes' expf (Moshier),
// as on the CPU: n · 0.693359375 is exact, so that it does not matter which products a compiler fuses.
fn exp4(x: vec4<f32>) -> vec4<f32> {
  let n = round(x * 1.44269504088896341f);
  return reducedExp4(x, n, (x - n * 0.693359375f) + n * 2.12194440e-4f);
}

// exp(x + low), where `low` is what x lost to rounding, at most some hundredths.
fn expSum4(x: vec4<f32>, low: vec4<f32>) -> vec4<f32> {
  let n = round(x * 1.44269504088896341f);
  return reducedExp4(x, n, (x - n * 0.693359375f) + (n * 2.12194440e-4f + low));
}

// 2^n · exp(r), where x = n · ln 2 + r.
fn reducedExp4(x: vec4<f32>, n: vec4<f32>, r: vec4<f32>) -> vec4<f32> {
  var p = fma(vec4(1.9875691500e-4f), r, vec4(1.3981999507e-3f));
  p = fma(p, r, vec4(8.3334519073e-3f));
  p = fma(p, r, vec4(4.1665795894e-2f));
  p = fma(p, r, vec4(1.6666665459e-1f));
  p = fma(p, r, vec4(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0;
  let power = bitcast<vec4<f32>>((vec4<i32>(n) + 127) << vec4(23u));
  // The comparison is false for NaN, which stays.
  return select(p * power, vec4(0.0), x < vec4(-87.33654f));
}

fn exp1(x: f32) -> f32 { return exp4(vec4(x)).x; }
