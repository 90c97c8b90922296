// What the kernels of many token rows share: their buffers, four numbers at a time, and how numbers are kept in workgroup
// memory.
//
// MODE "exact": f32 throughout. "f16": weights are rounded to f16 and x was by linear/gemm-pack.wgsl; f16 products are
// exact in f32, where they are added up. "f16-emulated": the same arithmetic without the feature shader-f16.
#include "linear/weight-quad.wgsl"
#include "linear/product-output.wgsl"

#if MODE != "exact"
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>; // [R, PACKED_QUADS]: four halves each, then the row's scale
#elif VECTOR_INPUT
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [R, COLUMNS / 4]
#else
@group(0) @binding(0) var<storage, read> x: array<f32>; // [R, COLUMNS]
#endif
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

// Brings four rows by four columns of x or of the weight from memory.
fn bring(isInput: bool, line: vec4<u32>, quad: u32) -> mat4x4<f32> {
  if (isInput) {
    return mat4x4(inputQuad(line.x, quad), inputQuad(line.y, quad), inputQuad(line.z, quad), inputQuad(line.w, quad));
  }
  return mat4x4(weightQuad(line.x, quad), weightQuad(line.y, quad), weightQuad(line.z, quad), weightQuad(line.w, quad));
}

// Writes sums of products, each row times the scale that it was packed with.
fn writeSums(r: u32, n: u32, sums: vec4<f32>) {
#if MODE == "exact"
  writeQuad(r, n, sums);
#else
  if (r >= rowCount()) { return; }
  writeQuad(r, n, sums * bitcast<f32>(x[(r + 1u) * PACKED_QUADS - 2u].x));
#endif
}
