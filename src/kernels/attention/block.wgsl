// Softmax attention of many rows, tile by tile (FlashAttention, Dao et al. 2022, 2023), in f32. Workgroups: (tiles,
// KV heads · HEAD_TILES). A workgroup takes up to 64 queries: rows of one slot at consecutive positions, TILE_HEADS query
// heads each, so that these share the keys and values it reads. Keys pass in tiles of KEYS, counted from position 0: what
// a row gets does not depend on the rows beside it. With SOURCE each row sees all of the encoder's input, in
// slot 0, whatever its own slot and position.
//
// Both products are tiled in registers. The 256 invocations are 16 x 16: `y` has queries 4 y to 4 y + 3, which are the
// components of a vec4 wherever there is one number a query; `x` has keys x, x + 16, … of the scores and columns x,
// x + 16, … (vec4 of four) of the output. Workgroup memory takes turns: slices of queries and keys of SLICE columns for
// the scores, then the largest scores, then 16 weights of every query and VALUE_ROWS values. The next slice is on its way
// to registers while one is worked on.
#include "common/exp.wgsl"
#if SOFT_CAP
#include "common/tanh.wgsl"
#endif
#if SOURCE
#include "common/rows.wgsl"
#endif
#include "attention/visible.wgsl"

#include "attention/bias.wgsl"

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>; // [R][HEADS][COLUMNS]
@group(0) @binding(1) var<storage, read> keys: array<Cached>;
@group(0) @binding(2) var<storage, read> values: array<Cached>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>; // [R][HEADS][COLUMNS]
// [tiles]: first row, number of rows, slot, position of the first row; see attentionTiles().
@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
#if SOURCE
@group(0) @binding(5) var<storage, read> rows: array<u32>;
#endif

const WORKGROUP = 256u;
const LANES = 16u;
const QUERIES = 64u;
const KEYS_EACH = KEYS / LANES;
const COLUMNS_EACH = (COLUMNS + LANES - 1u) / LANES;

// Columns of a slice, in vec4. The stride is odd, so that neighbouring keys are in different banks.
const SLICE = 4u;
const SLICES = (COLUMNS + SLICE - 1u) / SLICE;
const SLICE_STRIDE = SLICE + 1u;
const KEY_SLICE = QUERIES * SLICE_STRIDE;
const KEY_LOADS = KEYS * SLICE / WORKGROUP;

const WEIGHT_STRIDE = LANES + 1u;
const VALUE_SLICE = LANES * WEIGHT_STRIDE;
const VALUE_LOADS = (VALUE_ROWS * COLUMNS + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> stage: array<vec4<f32>, max(KEY_SLICE + KEYS * SLICE_STRIDE, VALUE_SLICE + VALUE_ROWS * COLUMNS)>;

struct Slice {
  query: vec4<f32>,
  keys: array<vec4<f32>, KEY_LOADS>,
}

// What an invocation loads of a slice: column `column` of query `local / SLICE` (`queryAt`: where that begins) and of every
// 64th key from there.
fn loadSlice(slice: u32, local: u32, queryAt: u32, hasQuery: bool, cache: u32, start: u32, last: u32) -> Slice {
  var loaded = Slice();
  let column = slice * SLICE + local % SLICE;
  if (COLUMNS % SLICE != 0u && column >= COLUMNS) { return loaded; }
  if (hasQuery) { loaded.query = query[queryAt + column] * params.scale; }
  for (var i = 0u; i < KEY_LOADS; i++) {
    // After the last visible position there may be anything, or no memory.
    let position = min(start + (local + i * WORKGROUP) / SLICE, last);
    loaded.keys[i] = widenCached(keys[cache + position * POSITION_STRIDE + column]);
  }
  return loaded;
}

fn loadValues(local: u32, cache: u32, start: u32, first: u32, last: u32) -> array<vec4<f32>, VALUE_LOADS> {
  var loaded = array<vec4<f32>, VALUE_LOADS>();
  for (var i = 0u; i < VALUE_LOADS; i++) {
    let at = local + i * WORKGROUP;
    // What no row sees has the weight 0, but 0 · NaN would show.
    let position = clamp(start + at / COLUMNS, first, last);
    loaded[i] = widenCached(values[cache + position * POSITION_STRIDE + at % COLUMNS]);
  }
  return loaded;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let tile = tiles[workgroup.x];
  let firstRow = tile.x;
  let firstPosition = tile.w;
#if SOURCE
  let last = sourceLength() - 1u;
  let first = 0u;
  let slot = 0u;
#else
  let last = firstPosition + tile.y - 1u;
  let first = firstVisible(firstPosition);
  let slot = tile.z;
#endif
  let kvHead = workgroup.y / HEAD_TILES;
  let groupHead = (workgroup.y % HEAD_TILES) * TILE_HEADS;
  let firstHead = kvHead * GROUP + groupHead;
  let headCount = min(TILE_HEADS, GROUP - groupHead);
  let cache = cacheStart(slot, kvHead);

  let x = local % LANES;
  let y = local / LANES;
  let ownQueries = vec4(4u * y) + vec4(0u, 1u, 2u, 3u);
#if SOURCE
  let ownLast = vec4(last);
#else
  let ownLast = vec4(firstPosition) + ownQueries / TILE_HEADS;
#endif

#if BIAS != "none"
  let ownHeads = vec4(firstHead) + min(ownQueries % TILE_HEADS, vec4(headCount - 1u));
  let ownPositions = vec4(firstPosition) + ownQueries / TILE_HEADS;
#endif

  let loadedQuery = local / SLICE;
  let queryAt = ((firstRow + loadedQuery / TILE_HEADS) * HEADS + firstHead + loadedQuery % TILE_HEADS) * COLUMNS;
  let hasQuery = loadedQuery / TILE_HEADS < tile.y && loadedQuery % TILE_HEADS < headCount;

  var largest = vec4(LOWEST);
  // The sum of the weights of this invocation's keys.
  var sum = vec4(0.0);
  // The output so far, [query][column].
  var outputs = array<vec4<f32>, 4u * COLUMNS_EACH>();

  let firstKey = first / KEYS * KEYS;
  var slice = loadSlice(0u, local, queryAt, hasQuery, cache, firstKey, last);
  for (var start = firstKey; start <= last; start += KEYS) {
    // Scores by key; the components are queries. The value is set here: Dawn clears a variable without a value only
    // once, not in every iteration (its SPIR-V, webgpu 0.6.2).
    var scores = array<vec4<f32>, KEYS_EACH>();
    for (var s = 0u; s < SLICES; s++) {
      workgroupBarrier();
      stage[loadedQuery * SLICE_STRIDE + local % SLICE] = slice.query;
      for (var i = 0u; i < KEY_LOADS; i++) {
        stage[KEY_SLICE + (local + i * WORKGROUP) / SLICE * SLICE_STRIDE + local % SLICE] = slice.keys[i];
      }
      workgroupBarrier();
      if (s + 1u < SLICES) { slice = loadSlice(s + 1u, local, queryAt, hasQuery, cache, start, last); }
      for (var c = 0u; c < SLICE; c++) {
        let at = 4u * y * SLICE_STRIDE + c;
        let q = transpose(mat4x4(
          stage[at],
          stage[at + SLICE_STRIDE],
          stage[at + 2u * SLICE_STRIDE],
          stage[at + 3u * SLICE_STRIDE],
        ));
        for (var i = 0u; i < KEYS_EACH; i++) {
          let key = stage[KEY_SLICE + (x + i * LANES) * SLICE_STRIDE + c];
          scores[i] = fma(q[0], vec4(key.x), scores[i]);
          scores[i] = fma(q[1], vec4(key.y), scores[i]);
          scores[i] = fma(q[2], vec4(key.z), scores[i]);
          scores[i] = fma(q[3], vec4(key.w), scores[i]);
        }
      }
    }
    var loaded = loadValues(local, cache, start, first, last);
    slice = loadSlice(0u, local, queryAt, hasQuery, cache, start + KEYS, last);

    var tileLargest = vec4(INVISIBLE);
    for (var i = 0u; i < KEYS_EACH; i++) {
      let position = vec4(start + x + i * LANES);
      var seen = position <= ownLast;
#if WINDOW != 0
      seen = seen & (position + vec4(WINDOW) > ownLast);
#endif
#if SOFT_CAP
      scores[i] = softCap4(scores[i], params.cap);
#endif
#if BIAS != "none"
      for (var q = 0u; q < 4u; q++) { scores[i][q] += scoreBias(ownHeads[q], position.x, ownPositions[q]); }
#endif
      scores[i] = select(vec4(INVISIBLE), scores[i], seen);
      tileLargest = max(tileLargest, scores[i]);
    }
    workgroupBarrier();
    stage[local] = tileLargest;
    workgroupBarrier();
    let before = largest;
    for (var i = 0u; i < LANES; i++) { largest = max(largest, stage[y * LANES + i]); }
    let decay = exp4(before - largest);
    sum *= decay;
    for (var i = 0u; i < KEYS_EACH; i++) {
      scores[i] = exp4(scores[i] - largest);
      sum += scores[i];
    }
    for (var c = 0u; c < COLUMNS_EACH; c++) {
      for (var q = 0u; q < 4u; q++) { outputs[q * COLUMNS_EACH + c] *= decay[q]; }
    }

    for (var k = 0u; k < KEYS; k += VALUE_ROWS) {
      workgroupBarrier();
      if (k % LANES == 0u) {
        stage[x * WEIGHT_STRIDE + y] = scores[0];
        // The next 16 keys move to the front: registers have no index.
        for (var i = 1u; i < KEYS_EACH; i++) { scores[i - 1u] = scores[i]; }
      }
      for (var i = 0u; i < VALUE_LOADS; i++) {
        let at = local + i * WORKGROUP;
        if (at < VALUE_ROWS * COLUMNS) { stage[VALUE_SLICE + at] = loaded[i]; }
      }
      workgroupBarrier();
      if (k + VALUE_ROWS < KEYS) { loaded = loadValues(local, cache, start + k + VALUE_ROWS, first, last); }
      for (var i = 0u; i < VALUE_ROWS; i++) {
        let weight = stage[(k % LANES + i) * WEIGHT_STRIDE + y];
        for (var c = 0u; c < COLUMNS_EACH; c++) {
          // Lanes beyond the last column repeat it.
          let value = stage[VALUE_SLICE + i * COLUMNS + min(x + c * LANES, COLUMNS - 1u)];
          for (var q = 0u; q < 4u; q++) {
            outputs[q * COLUMNS_EACH + c] = fma(vec4(weight[q]), value, outputs[q * COLUMNS_EACH + c]);
          }
        }
      }
    }
  }

  workgroupBarrier();
  stage[local] = sum;
  workgroupBarrier();
  var total = vec4(0.0);
  for (var i = 0u; i < LANES; i++) { total += stage[y * LANES + i]; }
  for (var q = 0u; q < 4u; q++) {
    let row = ownQueries[q] / TILE_HEADS;
    let head = ownQueries[q] % TILE_HEADS;
    if (row >= tile.y || head >= headCount) { continue; }
    let at = ((firstRow + row) * HEADS + firstHead + head) * COLUMNS;
#if SINKS
    let sum = total[q] + sinkWeight(firstHead + head, largest[q]);
#else
    let sum = total[q];
#endif
    for (var c = 0u; c < COLUMNS_EACH; c++) {
      let column = x + c * LANES;
      if (column < COLUMNS) { output[at + column] = outputs[q * COLUMNS_EACH + c] / sum; }
    }
  }
}
