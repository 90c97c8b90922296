// Products with the weights of chosen experts, which lie one below the other, ROWS rows each. A row has CHOSEN experts and as
// many lines: line i of row r is line CHOSEN r + i of all.
//
// - KIND "each": output[line][n] = Σ_k x[row or line][k] · weight[expert of the line][n][k].
// - KIND "sum": output[r][n] = Σ_i weight of expert i · Σ_k x[line][k] · weight[expert i][n][k], in the order of i, or output += that.
//
// Where BIASED, a product has its expert's bias [n] behind all that is added up over k.
//
// A workgroup computes OUTPUTS weight rows for one row or line or, where TILED, for TILE lines that have chosen one expert
// (group.wgsl), so that its weights are read once for all of them. Experts of other shards are another dispatch's.
// Dispatch (rows, lines or tiles; groups of weight rows; groups again where one dimension is too small).
#include "linear/weights.wgsl"
#include "common/workgroup-sums.wgsl"

struct Params {
  // The first expert of this shard, and how many there are.
  first: u32,
  count: u32,
  // Whether a sum is added to what is there.
  add: u32,
  // Where the biases of all experts begin among the vectors (BIASED), ROWS each.
  biases: u32,
}

#if ALIGNED
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [R or lines, COLUMNS]
@group(0) @binding(1) var<storage, read> vectors: array<vec4<f32>>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
#endif
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>; // [count · ROWS, WEIGHT_STRIDE chunks]
@group(0) @binding(3) var<storage, read_write> output: array<f32>; // [R or lines, ROWS]
#if TILED
@group(0) @binding(4) var<storage, read> tiles: array<u32>; // see group.wgsl
#else
@group(0) @binding(4) var<storage, read> routes: array<f32>; // [R, 2 CHOSEN]: experts, then weights
#endif
@group(0) @binding(5) var<uniform> params: Params;

#if BIASED
fn biasOf(expert: u32, n: u32) -> f32 {
  let at = params.biases + (params.first + expert) * ROWS + n;
#if ALIGNED
  return vectors[at / 4u][at % 4u];
#else
  return vectors[at];
#endif
}
#endif

// One invocation writes one result.
const_assert OUTPUTS * TILE <= WORKGROUP;
const SUMS = OUTPUTS * TILE;

// The part of this invocation in the products of inputs at `xRow` with weight rows at `wRow`. Written out: sums must be in registers.
fn multiply(xRow: array<u32, TILE>, wRow: array<u32, OUTPUTS>, local: u32) -> array<f32, SUMS> {
  var sums: array<f32, SUMS>;
  for (var chunk = local; chunk < CHUNKS; chunk += WORKGROUP) {
#for O OUTPUTS
    let packed$O = weight[wRow[$O] + chunk];
#endfor
#for O OUTPUTS
#if GROUPED
    let group$O = groupOfChunk(wRow[$O], chunk);
#else
    let weight$O = widenChunk(packed$O);
#endif
#endfor
#for T TILE
    {
      let xs = chunkOfRow(xRow[$T], chunk);
#if GROUPED
      let total = totalOf(xs);
#endif
#for O OUTPUTS
#if GROUPED
      sums[$O * TILE + $T] = multiplyAddGroup(xs, total, packed$O, group$O, sums[$O * TILE + $T]);
#else
      sums[$O * TILE + $T] = addProducts(xs, weight$O, sums[$O * TILE + $T]);
#endif
#endfor
    }
#endfor
  }
  var result: array<f32, SUMS>;
#for O OUTPUTS
#if FORMAT == "i8-row" || FORMAT == "int4"
  let scale$O = rowScale(wRow[$O]);
#else
  const scale$O = 1.0;
#endif
#for T TILE
  result[$O * TILE + $T] = sums[$O * TILE + $T] * scale$O;
#endfor
#endfor
  return result;
}

// Where the weight rows of a workgroup begin, of an expert of this shard.
fn weightRows(expert: u32, group: u32) -> array<u32, OUTPUTS> {
  var wRow: array<u32, OUTPUTS>;
#for O OUTPUTS
  wRow[$O] = (expert * ROWS + min(group * OUTPUTS + $O, ROWS - 1u)) * WEIGHT_STRIDE;
#endfor
  return wRow;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if SUBGROUPS
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
  let group = workgroup.y + workgroup.z * workgroups.y;
  var xRow: array<u32, TILE>;
#if KIND == "sum"
  var sums: array<f32, SUMS>;
  let route = workgroup.x * 2u * CHOSEN;
  for (var i = 0u; i < CHOSEN; i++) {
    let expert = u32(routes[route + i]) - params.first;
    if (expert >= params.count) { continue; }
    xRow[0] = (workgroup.x * CHOSEN + i) * X_STRIDE;
    let products = multiply(xRow, weightRows(expert, group), local);
    for (var s = 0u; s < SUMS; s++) { sums[s] += routes[route + CHOSEN + i] * products[s]; }
  }
#else
#if TILED
  if (workgroup.x >= tiles[0]) { return; }
  let tile = 1u + workgroup.x * (TILE + 2u);
  let expert = tiles[tile] - params.first;
  let linesHere = tiles[tile + 1u];
  for (var t = 0u; t < TILE; t++) {
    let line = tiles[tile + 2u + min(t, linesHere - 1u)];
#if INPUT == "lines"
    xRow[t] = line * X_STRIDE;
#else
    xRow[t] = line / CHOSEN * X_STRIDE;
#endif
  }
#else
  let row = workgroup.x / CHOSEN;
  let expert = u32(routes[row * 2u * CHOSEN + workgroup.x % CHOSEN]) - params.first;
  xRow[0] = row * X_STRIDE;
#endif
  if (expert >= params.count) { return; }
  let sums = multiply(xRow, weightRows(expert, group), local);
#endif
  for (var s = 0u; s < SUMS; s++) {
    addUp(s, sums[s], local
#if SUBGROUPS
      , subgroup, lane, subgroups
#endif
    );
  }
#if SUBGROUPS
  finishSums(local, subgroups);
#else
  finishSums(local);
#endif

  if (local >= SUMS) { return; }
  let n = group * OUTPUTS + local / TILE;
  if (n >= ROWS) { return; }
  var sum = finishedSum(local);
#if BIASED && KIND == "sum"
  var biases = 0.0;
  for (var i = 0u; i < CHOSEN; i++) {
    let expert = u32(routes[route + i]) - params.first;
    if (expert < params.count) { biases += routes[route + CHOSEN + i] * biasOf(expert, n); }
  }
  sum += biases;
#elif BIASED
  sum += biasOf(expert, n);
#endif
#if KIND == "sum"
  let at = workgroup.x * ROWS + n;
  if (params.add != 0u) {
    output[at] += sum;
  } else {
    output[at] = sum;
  }
#elif TILED
  let t = local % TILE;
  if (t < linesHere) { output[tiles[tile + 2u + t] * ROWS + n] = sum; }
#else
  output[workgroup.x * ROWS + n] = sum;
#endif
}
