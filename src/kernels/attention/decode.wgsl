// Softmax attention of single rows over the KV cache, split over positions (flash-decoding, Dao et al. 2023) and with the
// running softmax of Milakov & Gimelshein 2018 inside a split. DIRECT: for the short rows, which have one split, and whose
// output is written; else for the others (splits.wgsl). Workgroups: (splits of the row with most, KV heads · HEAD_TILES, R).
// The TILE_HEADS query heads of a workgroup share each key and value that it reads.
#include "attention/decode-buffers.wgsl"

// For scores, KEY_LANES invocations share a key: neighbours read neighbouring columns, KEY_COLUMNS each.
const KEY_COLUMNS = COLUMNS / KEY_LANES;
const KEYS_AT_ONCE = WORKGROUP / KEY_LANES;
const KEY_STEPS = (TILE + KEYS_AT_ONCE - 1u) / KEYS_AT_ONCE;
// For sums of values, an invocation has one column, of every VALUES_AT_ONCE-th value.
const VALUES_AT_ONCE = min(TILE, WORKGROUP / COLUMNS);
const VALUE_STEPS = (TILE + VALUES_AT_ONCE - 1u) / VALUES_AT_ONCE;
// There is a score for every (head, key); the host keeps their number within WORKGROUP.
const SCORES = TILE_HEADS * TILE;
// The stride is 4 more, so that the lanes of a key write to different banks.
const PART_STRIDE = SCORES + 4u;

var<workgroup> queries: array<vec4<f32>, TILE_HEADS * COLUMNS>;
// Parts of dot products, [KEY_LANES][head][key].
var<workgroup> parts: array<f32, KEY_LANES * PART_STRIDE>;
var<workgroup> scores: array<f32, SCORES>;
var<workgroup> weights: array<f32, SCORES>;
var<workgroup> decays: array<f32, TILE_HEADS>;
var<workgroup> sums: array<vec4<f32>, WORKGROUP>;
#if DIRECT && SINKS
var<workgroup> sinkWeights: array<f32, TILE_HEADS>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = workgroup.z;
  let split = workgroup.x;
  let last = lastVisible(row);
  let tiles = tileCount(last);
  let splits = splitCount(tiles);
#if DIRECT
  if (!isDirect(last)) { return; }
#else
  if (isDirect(last) || split >= splits) { return; }
#endif

  let kvHead = workgroup.y / HEAD_TILES;
  let groupHead = (workgroup.y % HEAD_TILES) * TILE_HEADS;
  let firstHead = kvHead * GROUP + groupHead;
  let headCount = min(TILE_HEADS, GROUP - groupHead);
  // Heads that the last tile of a group lacks are zeros.
  for (var i = local; i < TILE_HEADS * COLUMNS; i += WORKGROUP) {
    var q = vec4(0.0);
    if (i < headCount * COLUMNS) { q = query[(row * HEADS + firstHead) * COLUMNS + i] * params.scale; }
    queries[i] = q;
  }
  workgroupBarrier();

  let cache = cacheStart(cacheSlot(row), kvHead);
  let first = firstVisible(last);
  let lane = local % KEY_LANES;
  let keyOffset = local / KEY_LANES;
  let column = local % COLUMNS;
  let valueOffset = local / COLUMNS;

  // The softmax so far of this invocation's head and key, where it has one.
  var largest = LOWEST;
  var sum = 0.0;
  // The output so far of this invocation's column, by head.
  var outputs = array<vec4<f32>, TILE_HEADS>();

  for (var tile = split * tiles / splits; tile < (split + 1u) * tiles / splits; tile++) {
    let start = first + tile * TILE;

    // What is after `last` may be anything: it is never read, the key or value at `last` is, and gets the weight 0.
    // Values are asked for before the scores are known, so that they travel meanwhile.
    var tileValues = array<vec4<f32>, VALUE_STEPS>();
    if (valueOffset < VALUES_AT_ONCE) {
      for (var i = 0u; i < VALUE_STEPS; i++) {
        let at = min(start + valueOffset + i * VALUES_AT_ONCE, last);
        tileValues[i] = widenCached(values[cache + at * POSITION_STRIDE + column]);
      }
    }
    for (var i = 0u; i < KEY_STEPS; i++) {
      let key = keyOffset + i * KEYS_AT_ONCE;
      if (key >= TILE) { break; }
      let at = cache + min(start + key, last) * POSITION_STRIDE + lane;
      // The value is set here: Dawn clears a variable without one only once, not in every iteration (its SPIR-V, webgpu
      // 0.6.2).
      var part = array<f32, TILE_HEADS>();
      for (var c = 0u; c < KEY_COLUMNS; c++) {
        let k = widenCached(keys[at + c * KEY_LANES]);
        for (var h = 0u; h < TILE_HEADS; h++) {
          part[h] += dot(queries[h * COLUMNS + lane + c * KEY_LANES], k);
        }
      }
      for (var h = 0u; h < TILE_HEADS; h++) { parts[lane * PART_STRIDE + h * TILE + key] = part[h]; }
    }
    workgroupBarrier();

    let head = local / TILE;
    var score = INVISIBLE;
    if (local < SCORES) {
      if (start + local % TILE <= last) {
        score = 0.0;
        for (var l = 0u; l < KEY_LANES; l++) { score += parts[l * PART_STRIDE + local]; }
#if SOFT_CAP
        score = softCap1(score, params.cap);
#endif
#if BIAS != "none"
        score += scoreBias(firstHead + min(head, headCount - 1u), start + local % TILE, ownPosition(row));
#endif
      }
      scores[local] = score;
    }
    workgroupBarrier();

    if (local < SCORES) {
      let before = largest;
      for (var k = 0u; k < TILE; k++) { largest = max(largest, scores[head * TILE + k]); }
      let decay = exp1(before - largest);
      let weight = exp1(score - largest);
      sum = sum * decay + weight;
      weights[local] = weight;
      if (local % TILE == 0u) { decays[head] = decay; }
    }
    workgroupBarrier();

    if (valueOffset < VALUES_AT_ONCE) {
      for (var h = 0u; h < TILE_HEADS; h++) { outputs[h] *= decays[h]; }
      for (var i = 0u; i < VALUE_STEPS; i++) {
        let key = valueOffset + i * VALUES_AT_ONCE;
        if (key >= TILE) { break; }
        for (var h = 0u; h < TILE_HEADS; h++) { outputs[h] += weights[h * TILE + key] * tileValues[i]; }
      }
    }
  }

  // The last barrier of the loop lies between the last use of `scores` and here.
  if (local < SCORES) { scores[local] = sum; }
#if DIRECT && SINKS
  if (local < SCORES && local % TILE == 0u) {
    let head = local / TILE;
    sinkWeights[head] = sinkWeight(firstHead + min(head, headCount - 1u), largest);
  }
#endif
  for (var h = 0u; h < headCount; h++) {
    sums[local] = outputs[h];
    workgroupBarrier();
    if (local < COLUMNS) {
      var weighted = vec4(0.0);
      for (var i = 0u; i < VALUES_AT_ONCE; i++) { weighted += sums[i * COLUMNS + local]; }
#if DIRECT && SINKS
      output[(row * HEADS + firstHead + h) * COLUMNS + local] = weighted / (sumOfWeights(h) + sinkWeights[h]);
#elif DIRECT
      output[(row * HEADS + firstHead + h) * COLUMNS + local] = weighted / sumOfWeights(h);
#else
      partials[recordStart(row, firstHead + h, split) + local] = weighted;
#endif
    }
#if !DIRECT
    if (local == h * TILE) {
      partials[recordStart(row, firstHead + h, split) + COLUMNS] = vec4(largest, sumOfWeights(h), 0.0, 0.0);
    }
#endif
    workgroupBarrier();
  }
}

// When `scores` holds what each key has added to the sum of weights.
fn sumOfWeights(head: u32) -> f32 {
  var total = 0.0;
  for (var k = 0u; k < TILE; k++) { total += scores[head * TILE + k]; }
  return total;
}
