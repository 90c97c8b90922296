/** The error function in f64, to a few ulp: its Taylor series where that converges fast, else a continued fraction. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 2.5) {
    // 2/sqrt(pi) · exp(-z²) · Σ (2^n z^(2n+1)) / (2n+1)!!, all terms positive (Abramowitz & Stegun 7.1.6).
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  // erfc(z) = exp(-z²)/sqrt(pi) / (z + (1/2)/(z + (2/2)/(z + ...))) (7.1.14), from the inside out.
  let fraction = z;
  for (let n = 120; n >= 1; n--) {
    fraction = z + n / 2 / fraction;
  }
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction));
}
