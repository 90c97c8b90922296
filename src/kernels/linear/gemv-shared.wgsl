// What the kernels of few token rows share: what they read and write, which weight rows a group has, and what becomes of sums.
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
