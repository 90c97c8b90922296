// Where the products of many token rows go: four columns of a row at a time, with the bias, the activation or the sum that
// the output already holds. Rows and columns that are not there are left out.
#include "common/rows.wgsl"
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

@group(0) @binding(1) var<storage, read> vectors: array<f32>;
#if VECTOR_OUTPUT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>; // [R, OUTPUT_COLUMNS / 4]
#else
@group(0) @binding(3) var<storage, read_write> output: array<f32>; // [R, OUTPUT_COLUMNS]
#endif
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

// Where the tile of a workgroup begins. Tiles of the same weights run side by side, so that all but one find them in the cache.
struct TileStart {
  exists: bool,
  row: u32,
  column: u32,
}

fn tileStart(workgroup: vec3<u32>, workgroups: vec3<u32>, tileRows: u32, tileColumns: u32) -> TileStart {
  let index = workgroup.x + workgroup.y * workgroups.x;
  let rowTiles = (rowCount() + tileRows - 1u) / tileRows;
  let exists = index < rowTiles * ((params.count + tileColumns - 1u) / tileColumns);
  return TileStart(exists, (index % rowTiles) * tileRows, (index / rowTiles) * tileColumns);
}

fn writeQuad(r: u32, n: u32, products: vec4<f32>) {
  if (r >= rowCount() || n >= params.count) { return; }
  var values = products;
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
