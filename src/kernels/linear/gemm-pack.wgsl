// x as f16 for the kernels that multiply in f16: packed[r] = round(x[r] / scale[r]), where the scale is the power of two
// that puts the largest number of the row between 2^14 and 2^15. So nothing overflows, whatever x is, and what is lost to
// underflow is 2^-38 of the largest number or less. One workgroup a row. A row with an infinity or NaN gets the scale NaN,
// which makes the whole row of the product NaN.
const WORKGROUP = 256u;

@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read_write> packed: array<u32>; // [R, STRIDE]: halves two to a word, zeros, the scale, three zeros

var<workgroup> largest: atomic<u32>;

fn scaled(row: u32, column: u32, factor: f32) -> f32 {
  if (column >= COLUMNS) { return 0.0; }
  return x[row * COLUMNS + column] * factor;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.x;
  // Bits of numbers without sign are in the order of the numbers, and those of NaN above all.
  var own = 0u;
  for (var column = local; column < COLUMNS; column += WORKGROUP) {
    own = max(own, bitcast<u32>(x[row * COLUMNS + column]) & 0x7fffffffu);
  }
  if (local == 0u) { atomicStore(&largest, 0u); }
  workgroupBarrier();
  atomicMax(&largest, own);
  workgroupBarrier();

  // Biased exponents: both stay those of normal numbers.
  let exponent = max(atomicLoad(&largest) >> 23u, 27u);
  let scale = (exponent - 14u) << 23u;
  let factor = bitcast<f32>((268u - exponent) << 23u);
  for (var word = local; word < STRIDE; word += WORKGROUP) {
    let column = 2u * word;
    var value = pack2x16float(vec2(scaled(row, column, factor), scaled(row, column + 1u, factor)));
    if (word == STRIDE - 4u) { value = select(scale, 0x7fc00000u, exponent == 255u); }
    packed[row * STRIDE + word] = value;
  }
}
