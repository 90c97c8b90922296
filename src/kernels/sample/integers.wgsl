// Unsigned 64-bit integers as vec2 (low word, high word).

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2(low, a.y + b.y + u32(low < a.x));
}

fn subtract64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2(a.x - b.x, a.y - b.y - u32(a.x < b.x));
}

fn isLess64(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }

// The upper 32 bits of a product, from four 16-bit partial products.
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let cross = (a >> 16u) * (b & 0xffffu);
  let middle = (low >> 16u) + (cross & 0xffffu) + (a & 0xffffu) * (b >> 16u);
  return (a >> 16u) * (b >> 16u) + (cross >> 16u) + (middle >> 16u);
}

// floor(total · fraction / 2^32): scaleByFraction of softmax-weights.ts.
fn scaleByFraction(total: vec2<u32>, fraction: u32) -> vec2<u32> {
  let upper = vec2(total.y * fraction, multiplyHigh(total.y, fraction));
  return add64(upper, vec2(multiplyHigh(total.x, fraction), 0u));
}
