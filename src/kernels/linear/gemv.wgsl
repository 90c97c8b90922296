// Matrix times vector for few token rows: output[r][n] = Σ_k x[r][k] · weight[n][k] (+ bias[n]), with what comes before and
// after it in a decoder layer folded in:
//
// - NORM: x is the residual stream and is normalised on the way. RMSNorm's factor 1/sqrt(mean(x²) + ε) is the same for a
//   whole row, so it multiplies the finished sum; Σ x² is added up in the same walk over x that the product needs.
// - EPILOGUE "add": the residual connection. "gate": weight is [gate; up] and output is activation(gate) · up.
//   "qkv": weight is [q; k; v], or some of them; q and k are rotated (ROPE: the first ROTARY elements of a head, i with i + ROTARY / 2) and k
//   and v appended to the cache of the row's slot.
// - ACTIVATION: of what is stored, or of the gate. SOFT_CAP: what is stored is bounded, as logits may be.
//
// A workgroup computes OUTPUTS weight rows for TILE token rows, so that weights are read once; an invocation has every
// WORKGROUP-th chunk of a row, UNROLL of them a turn. All of it is written out (#for): its sums must be in registers. Dispatch (token tiles, groups of weight rows, groups again where one
// dimension is too small): tiles of the same weights run side by side.
#include "common/rows.wgsl"
#if ACTIVATION != "none"
#include "common/activation.wgsl"
#endif
#if SOFT_CAP
#include "common/tanh.wgsl"
#endif
#include "linear/weights.wgsl"
#if EPILOGUE == "qkv"
#include "append/put.wgsl"
#endif
#include "common/workgroup-sums.wgsl"

struct Params {
  // Where the norm's gain and the bias begin in `vectors`.
  gain: u32,
  bias: u32,
  epsilon: f32,
  // First row of this shard of the weight, as a row of the whole, and how many there are.
  first: u32,
  count: u32,
  // The bound of what is stored, where there is one.
  cap: f32,
}

#if ALIGNED
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> vectors: array<vec4<f32>>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
#endif
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>; // [count, WEIGHT_STRIDE chunks]
@group(0) @binding(3) var<storage, read_write> output: array<f32>; // [R, OUTPUT_COLUMNS]
@group(0) @binding(4) var<storage, read> rows: array<u32>;
#if EPILOGUE == "qkv"
@group(0) @binding(5) var<storage, read_write> keys: array<Cell>; // [slot][CONTEXT][KV_HEADS · HEAD_DIM]
@group(0) @binding(6) var<storage, read_write> values: array<Cell>;
#if ROPE
@group(0) @binding(7) var<storage, read> rope: array<vec2<f32>>; // [CONTEXT][HALF] of (cos, sin)
@group(0) @binding(8) var<uniform> params: Params;
#else
@group(0) @binding(7) var<uniform> params: Params;
#endif
#else
@group(0) @binding(5) var<uniform> params: Params;
#endif

fn vectorAt(i: u32) -> f32 {
#if ALIGNED
  return vectors[i / 4u][i % 4u];
#else
  return vectors[i];
#endif
}

// The weight row that a workgroup computes as its `o`-th.
#if EPILOGUE == "qkv"
// Rows come in the pairs that a rotation mixes, o and o + OUTPUTS / 2, which are HALF apart; behind the rotated elements of a
// head in pairs of neighbours.
const PAIRS = OUTPUTS / 2u;
const HEAD_PAIRS = HEAD_DIM / 2u;
#if ROPE
const HALF = ROTARY / 2u;
#else
const HALF = HEAD_PAIRS;
#endif
// The first element of a head's pair, and how far behind it the second is.
#if PARTIAL
fn firstOf(pair: u32) -> u32 { return select(2u * pair, pair, pair < HALF); }
fn stepOf(pair: u32) -> u32 { return select(1u, HALF, pair < HALF); }
#else
fn firstOf(pair: u32) -> u32 { return pair; }
fn stepOf(pair: u32) -> u32 { return HALF; }
#endif
fn weightRow(group: u32, o: u32) -> u32 {
  let pair = group * PAIRS + o % PAIRS;
  return (pair / HEAD_PAIRS) * HEAD_DIM + firstOf(pair % HEAD_PAIRS) + (o / PAIRS) * stepOf(pair % HEAD_PAIRS);
}
#elif EPILOGUE == "gate"
// Rows come in pairs of gate and up.
const PAIRS = OUTPUTS / 2u;
fn weightRow(group: u32, o: u32) -> u32 {
  return min(group * PAIRS + o % PAIRS, OUTPUT_COLUMNS - 1u) + (o / PAIRS) * OUTPUT_COLUMNS;
}
#else
fn weightRow(group: u32, o: u32) -> u32 { return group * OUTPUTS + o; }
#endif

// One invocation writes one result.
const_assert OUTPUTS * TILE <= WORKGROUP;

// How many weight rows the shard has.
fn weightRows() -> u32 {
#if COUNT == 0
  return params.count;
#else
  return COUNT;
#endif
}

// Writes what the finished sums of a group of weight rows make of a tile of token rows.
fn finish(group: u32, firstRow: u32, rowsHere: u32, local: u32) {
#if EPILOGUE == "qkv" || EPILOGUE == "gate"
  if (local >= PAIRS * TILE) { return; }
  let o = local / TILE;
#else
  if (local >= OUTPUTS * TILE) { return; }
  let o = local / TILE;
#endif
  let t = local % TILE;
  let r = firstRow + t;
#if TILE != 1
  if (r >= rowsHere) { return; }
#endif
#if NORM
  let scale = 1.0 / sqrt(finishedSum(OUTPUTS * TILE + t) / f32(COLUMNS) + params.epsilon);
#else
  const scale = 1.0;
#endif

#if EPILOGUE == "qkv"
  let pair = group * PAIRS + o;
  let head = pair / HEAD_PAIRS;
  if (head >= HEADS + KEY_HEADS + VALUE_HEADS) { return; }
  let i = firstOf(pair % HEAD_PAIRS);
  let step = stepOf(pair % HEAD_PAIRS);
  var a = finishedSum(o * TILE + t) * scale;
  var b = finishedSum((o + PAIRS) * TILE + t) * scale;
#if BIAS
  a += vectorAt(params.bias + head * HEAD_DIM + i);
  b += vectorAt(params.bias + head * HEAD_DIM + i + step);
#endif
  let position = rowPosition(r);
#if ROPE
#if PARTIAL
  if (head < HEADS + KEY_HEADS && i < HALF) {
#else
  if (head < HEADS + KEY_HEADS) {
#endif
    let turn = rope[position * HALF + i];
    let rotated = vec2<f32>(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
    a = rotated.x;
    b = rotated.y;
  }
#endif
  let cell = (rowSlot(r) * CONTEXT + position) * (KV_HEADS * HEAD_DIM) + i;
  if (head < HEADS) {
    let at = r * OUTPUT_COLUMNS + head * HEAD_DIM + i;
    output[at] = a;
    output[at + step] = b;
  } else if (head < HEADS + KEY_HEADS) {
    let at = cell + (head - HEADS) * HEAD_DIM;
    putKey(at, a);
    putKey(at + step, b);
  } else {
    let at = cell + (head - HEADS - KEY_HEADS) * HEAD_DIM;
    putValue(at, a);
    putValue(at + step, b);
  }
#elif EPILOGUE == "gate"
  let n = group * PAIRS + o;
  if (n >= OUTPUT_COLUMNS) { return; }
  var gate = finishedSum(o * TILE + t) * scale;
  var up = finishedSum((o + PAIRS) * TILE + t) * scale;
#if BIAS
  gate += vectorAt(params.bias + n);
  up += vectorAt(params.bias + OUTPUT_COLUMNS + n);
#endif
  output[r * OUTPUT_COLUMNS + n] = activate1(gate) * up;
#else
  let n = weightRow(group, o);
  if (n >= weightRows()) { return; }
  var result = finishedSum(o * TILE + t) * scale;
#if BIAS
  result += vectorAt(params.bias + params.first + n);
#endif
#if ACTIVATION != "none"
  result = activate1(result);
#endif
#if SOFT_CAP
  result = softCap1(result, params.cap);
#endif
  let at = r * OUTPUT_COLUMNS + params.first + n;
#if EPILOGUE == "add"
  output[at] += result;
#else
  output[at] = result;
#endif
#endif
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
  let firstRow = workgroup.x * TILE;
  // Rows beyond the last are computed from it and thrown away. A tile of one row is never beyond it, so that a decoded token's
  // reads wait for nothing.
  var xRow: array<u32, TILE>;
#if TILE == 1
  const rowsHere = 1u;
#if GATHER
  xRow[0] = logitRow(firstRow) * X_STRIDE;
#else
  xRow[0] = firstRow * X_STRIDE;
#endif
#else
#if GATHER
  let rowsHere = logitRowCount();
#else
  let rowsHere = rowCount();
#endif
  let lastRow = max(rowsHere, 1u) - 1u;
#for T TILE
#if GATHER
  xRow[$T] = logitRow(min(firstRow + $T, lastRow)) * X_STRIDE;
#else
  xRow[$T] = min(firstRow + $T, lastRow) * X_STRIDE;
#endif
#endfor
#endif
  var wRow: array<u32, OUTPUTS>;
#for O OUTPUTS
  wRow[$O] = min(weightRow(group, $O), weightRows() - 1u) * WEIGHT_STRIDE;
#endfor

  var sums: array<f32, SUMS>;
  for (var turn = local; turn < CHUNKS; turn += WORKGROUP * UNROLL) {
    // All weights of a turn are on their way before the first of them is used.
    var packed: array<vec4<u32>, OUTPUTS * UNROLL>;
#if GROUPED
    var groups: array<u32, OUTPUTS * UNROLL>;
#endif
#for U UNROLL
#if WHOLE_TURNS
    let chunk$U = turn + $U * WORKGROUP;
#else
    let chunk$U = min(turn + $U * WORKGROUP, CHUNKS - 1u);
#endif
#for O OUTPUTS
    packed[$U * OUTPUTS + $O] = weight[wRow[$O] + chunk$U];
#if GROUPED
    groups[$U * OUTPUTS + $O] = groupOfChunk(wRow[$O], chunk$U);
#endif
#endfor
#endfor
#for U UNROLL
#if !WHOLE_TURNS
    if (turn + $U * WORKGROUP >= CHUNKS) { break; }
#endif
    {
#if NORM
      let gain = chunkOfVector(params.gain, chunk$U);
#endif
#if !GROUPED
#for O OUTPUTS
      let weight$O = widenChunk(packed[$U * OUTPUTS + $O]);
#endfor
#endif
#for T TILE
      {
        var xs = chunkOfRow(xRow[$T], chunk$U);
#if NORM
        sums[OUTPUTS * TILE + $T] = addProducts(xs, xs, sums[OUTPUTS * TILE + $T]);
        xs = times(xs, gain);
#endif
#if GROUPED
        let total = totalOf(xs);
#endif
#for O OUTPUTS
#if GROUPED
        sums[$O * TILE + $T] =
          multiplyAddGroup(xs, total, packed[$U * OUTPUTS + $O], groups[$U * OUTPUTS + $O], sums[$O * TILE + $T]);
#else
        sums[$O * TILE + $T] = addProducts(xs, weight$O, sums[$O * TILE + $T]);
#endif
#endfor
      }
#endfor
    }
#endfor
  }
#for O OUTPUTS
#if FORMAT == "i8-row" || FORMAT == "int4"
  let scale$O = rowScale(wRow[$O]);
#for T TILE
  sums[$O * TILE + $T] *= scale$O;
#endfor
#endif
#endfor
#for S SUMS
  addUp($S, sums[$S], local
#if SUBGROUPS
    , subgroup, lane, subgroups
#endif
  );
#endfor
#if SUBGROUPS
  finishSums(local, subgroups);
#else
  finishSums(local);
#endif
  finish(group, firstRow, rowsHere, local);
}
