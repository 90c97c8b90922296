// What the kernels of many token rows share: their buffers, four numbers at a time, and how numbers are kept in workgroup
// memory.
//
// MODE "exact": f32 throughout. "f16": weights are rounded to f16 and x was by linear/gemm-pack.wgsl; f16 products are
// exact in f32, where they are added up. "f16-emulated": the same arithmetic without the feature shader-f16.
#include "common/rows.wgsl"
#include "common/widen.wgsl"
#if ACTIVATION != "none"
#include "common/activation.wgsl"
#endif

struct Params {
  // Where the bias begins in `vectors`.
  bias: u32,
  // First weight row of the shard (an output column), and how many there are.
  first: u32,
  count: u32,
}

#if MODE != "exact"
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>; // [R, PACKED_QUADS]: four halves each, then the row's scale
#elif VECTOR_INPUT
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [R, COLUMNS / 4]
#else
@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, COLUMNS]
#endif
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
#if FORMAT == "f32"
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_STRIDE]: four columns each
#elif FORMAT == "i8-row"
@group(0) @binding(2) var<storage, read> weight: array<u32>; // behind WEIGHT_QUADS of a row: its scale
#elif GROUPED
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_STRIDE]: chunks, then what groups share
#else
@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>;
#endif
#if VECTOR_OUTPUT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>; // [R, OUTPUT_COLUMNS / 4]
#else
@group(0) @binding(3) var<storage, read_write> output: array<f32>; // [R, OUTPUT_COLUMNS]
#endif
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

#if MODE == "f16"
enable f16;
alias Stored = vec4<f16>;
fn stored(values: vec4<f32>) -> Stored { return vec4<f16>(clamp(values, vec4(-65504.0), vec4(65504.0))); }
#elif MODE == "f16-emulated"
alias Stored = vec4<f32>;
fn stored(values: vec4<f32>) -> Stored { return quantizeToF16(clamp(values, vec4(-65504.0), vec4(65504.0))); }
#elif MODE == "exact"
alias Stored = vec4<f32>;
fn stored(values: vec4<f32>) -> Stored { return values; }
#endif

fn inputQuad(row: u32, quad: u32) -> vec4<f32> {
  if (quad >= INPUT_QUADS) { return vec4(0.0); }
#if MODE != "exact"
  let words = x[row * PACKED_QUADS + quad];
  return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
#elif VECTOR_INPUT
  return x[row * INPUT_QUADS + quad];
#else
  let at = row * COLUMNS + quad * 4u;
  var values = vec4(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < COLUMNS) { values[i] = x[at + i]; }
  }
  return values;
#endif
}

fn weightQuad(row: u32, quad: u32) -> vec4<f32> {
  // Between the last column and the end of the row are zeros.
  if (quad >= WEIGHT_QUADS) { return vec4(0.0); }
#if GROUPED
  let at = row * WEIGHT_STRIDE;
  const CHUNKS = WEIGHT_QUADS / QUADS_PER_CHUNK;
  let chunk = weight[at + quad / QUADS_PER_CHUNK];
  let group = quad / GROUP_QUADS;
  let word = weight[at + CHUNKS + group / 8u][(group / 2u) % 4u];
  let stored = (word >> (16u * (group % 2u))) & 0xffffu;
#if FORMAT == "int8"
  return quadOf(flipSigns(chunk), quad % QUADS_PER_CHUNK) * groupScale(stored);
#else
  const WORD = (CHUNKS + 1u) / 2u; // behind a half a chunk
  let rowScale = bitcast<f32>(weight[at + CHUNKS + WORD / 4u][WORD % 4u]);
  // The first product is exact: the row's scale rounds once.
  return (quadOf(chunk, quad % QUADS_PER_CHUNK) - groupZero(stored)) * groupScale(stored) * rowScale;
#endif
#elif FORMAT == "i8-row"
  return widen4(weight[row * WEIGHT_STRIDE + quad]) * bitcast<f32>(weight[row * WEIGHT_STRIDE + WEIGHT_QUADS]);
#else
  return widen4(weight[row * WEIGHT_STRIDE + quad]);
#endif
}

// Brings four rows by four columns of x or of the weight from memory.
fn bring(isInput: bool, line: vec4<u32>, quad: u32) -> mat4x4<f32> {
  if (isInput) {
    return mat4x4(inputQuad(line.x, quad), inputQuad(line.y, quad), inputQuad(line.z, quad), inputQuad(line.w, quad));
  }
  return mat4x4(weightQuad(line.x, quad), weightQuad(line.y, quad), weightQuad(line.z, quad), weightQuad(line.w, quad));
}

fn writeQuad(r: u32, n: u32, sums: vec4<f32>) {
  if (r >= rowCount() || n >= params.count) { return; }
#if MODE == "exact"
  var values = sums;
#else
  var values = sums * bitcast<f32>(x[(r + 1u) * PACKED_QUADS - 2u].x);
#endif
  let column = params.first + n;
#if VECTOR_OUTPUT
  let at = (r * OUTPUT_COLUMNS + column) / 4u;
#if BIAS
  let bias = params.bias + column;
  values += vec4(vectors[bias], vectors[bias + 1u], vectors[bias + 2u], vectors[bias + 3u]);
#endif
#if ACTIVATION != "none"
  values = activate4(values);
#endif
#if ACCUMULATE
  output[at] += values;
#else
  output[at] = values;
#endif
#else
  for (var i = 0u; i < min(4u, params.count - n); i++) {
    let at = r * OUTPUT_COLUMNS + column + i;
    var value = values[i];
#if BIAS
    value += vectors[params.bias + column + i];
#endif
#if ACTIVATION != "none"
    value = activate1(value);
#endif
#if ACCUMULATE
    output[at] += value;
#else
    output[at] = value;
#endif
  }
#endif
}
