// x as f16 for the kernels that multiply in f16: packed[r] = round(x[r] / scale[r]), where the scale is the power of two
// that puts the largest number of the row between 2^14 and 2^15. So nothing overflows, whatever x is, and what is lost to
// underflow is 2^-38 of the largest number or less. One workgroup a row. A row with an infinity or NaN gets the scale NaN,
// which makes the whole row of the product NaN.
//
// With two TERMS the halves of what the first ones lack of x follow them: together they have 22 bits of x, and miss it by
// 2^-23 of itself or 2^-40 of the largest number.
#include "linear/pack-scale.wgsl"

@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, COLUMNS]
// [R, STRIDE]: of every term TERM_WORDS with two halves each, zeros behind the last column; the scale, three zeros
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;

fn scaled(row: u32, column: u32, factor: f32) -> f32 {
  if (column >= COLUMNS) { return 0.0; }
  return x[row * COLUMNS + column] * factor;
}

#if TERMS == 2
// Numbers rounded to the 11 bits of a half, by their bits: a driver may take what is packed and unpacked for what it was.
fn rounded(values: vec2<f32>) -> vec2<f32> {
  return bitcast<vec2<f32>>((bitcast<vec2<u32>>(values) + vec2(0x1000u)) & vec2(0xffffe000u));
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.x;
  var own = 0u;
  for (var column = local; column < COLUMNS; column += WORKGROUP) {
    own = max(own, magnitudeBits(x[row * COLUMNS + column]));
  }
  let exponent = largestExponent(own, local);
  let factor = factorOf(exponent);
  for (var word = local; word < TERM_WORDS; word += WORKGROUP) {
    let column = 2u * word;
    let values = vec2(scaled(row, column, factor), scaled(row, column + 1u, factor));
#if TERMS == 2
    let high = rounded(values);
    packed[row * STRIDE + word] = pack2x16float(high);
    packed[row * STRIDE + TERM_WORDS + word] = pack2x16float(values - high);
#else
    packed[row * STRIDE + word] = pack2x16float(values);
#endif
  }
  if (local < 4u) { packed[row * STRIDE + TERMS * TERM_WORDS + local] = select(0u, scaleBits(exponent), local == 0u); }
}
