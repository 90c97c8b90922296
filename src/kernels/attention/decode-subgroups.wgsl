// Softmax attention of single rows over the KV cache, like decode.wgsl, for adapters with subgroups. KEY_LANES
// neighbouring lanes of a subgroup are a team. A team has positions of its own and the running softmax of these: it
// shares out their columns among its lanes, adds up the scores by shuffles, and each lane sums the values' columns that
// it has of the keys. So nobody waits for anybody until all positions are through; then the teams of a subgroup are
// merged by shuffles, and the subgroups through workgroup memory. Workgroups: (splits of the row with most, KV heads ·
// HEAD_TILES, R). The TILE_HEADS query heads of a workgroup share each key and value that it reads.
//
// The host sees to it that subgroups are whole, WORKGROUP being a multiple of their size, and have at least
// LEAST_SUBGROUP >= KEY_LANES lanes; how many they have is known only here. KEY_LANES is a power of two that divides
// COLUMNS.
enable subgroups;
requires subgroup_id;
#include "attention/decode-buffers.wgsl"

// Columns of a lane: every KEY_LANES-th.
const KEY_COLUMNS = COLUMNS / KEY_LANES;
const TEAMS = WORKGROUP / KEY_LANES;
// In a tile a team has KEYS keys, TEAMS apart.
const KEYS = TILE / TEAMS;
const MOST_SUBGROUPS = WORKGROUP / LEAST_SUBGROUP;

// What each subgroup has come to, [subgroup][head]: (largest score, sum of weights), and the weighted values [COLUMNS].
var<workgroup> states: array<vec2<f32>, MOST_SUBGROUPS * TILE_HEADS>;
var<workgroup> sums: array<vec4<f32>, MOST_SUBGROUPS * TILE_HEADS * COLUMNS>;

// sum + a · b.
fn addDot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) subgroupSize: u32,
  @builtin(num_subgroups) subgroups: u32,
) {
  let row = workgroup.z;
  let split = workgroup.x;
  let kvHead = workgroup.y / HEAD_TILES;
  let groupHead = (workgroup.y % HEAD_TILES) * TILE_HEADS;
  let firstHead = kvHead * GROUP + groupHead;
  let headCount = min(TILE_HEADS, GROUP - groupHead);
  let column = lane % KEY_LANES;

  // Queries are asked for before it is known where the row stands. For heads that the last tile of a group lacks, the
  // last one is computed again and thrown away.
  var queries = array<vec4<f32>, TILE_HEADS * KEY_COLUMNS>();
  for (var h = 0u; h < TILE_HEADS; h++) {
    let at = (row * HEADS + firstHead + min(h, headCount - 1u)) * COLUMNS + column;
    for (var c = 0u; c < KEY_COLUMNS; c++) { queries[h * KEY_COLUMNS + c] = query[at + c * KEY_LANES] * params.scale; }
  }

  let last = lastVisible(row);
  let tiles = tileCount(last);
  let splits = splitCount(tiles);
#if DIRECT
  if (!isDirect(last)) { return; }
#else
  if (isDirect(last) || split >= splits) { return; }
#endif
  let cache = cacheStart(cacheSlot(row), kvHead) + column;
  let first = firstVisible(last) + subgroup * (subgroupSize / KEY_LANES) + lane / KEY_LANES;

  // The softmax so far of this team, by head, and the values of this lane's columns. All lanes of a team have the same
  // bits: a shuffled sum adds the same two numbers on both sides.
  var largest = array<f32, TILE_HEADS>();
  for (var h = 0u; h < TILE_HEADS; h++) { largest[h] = LOWEST; }
  var total = array<f32, TILE_HEADS>();
  var outputs = array<vec4<f32>, TILE_HEADS * KEY_COLUMNS>();

  for (var tile = split * tiles / splits; tile < (split + 1u) * tiles / splits; tile++) {
    let start = first + tile * TILE;
    // What is after `last` may be anything: it is never read, the key or value at `last` is, and gets the weight 0. All
    // keys and values of the tile are asked for before any is used.
    var tileKeys = array<Cached, KEYS * KEY_COLUMNS>();
    var tileValues = array<Cached, KEYS * KEY_COLUMNS>();
    for (var k = 0u; k < KEYS; k++) {
      let at = cache + min(start + k * TEAMS, last) * POSITION_STRIDE;
      for (var c = 0u; c < KEY_COLUMNS; c++) { tileKeys[k * KEY_COLUMNS + c] = keys[at + c * KEY_LANES]; }
    }
    for (var k = 0u; k < KEYS; k++) {
      let at = cache + min(start + k * TEAMS, last) * POSITION_STRIDE;
      for (var c = 0u; c < KEY_COLUMNS; c++) { tileValues[k * KEY_COLUMNS + c] = values[at + c * KEY_LANES]; }
    }

    // Scores, then weights, [head][key].
    var scores = array<f32, TILE_HEADS * KEYS>();
    for (var k = 0u; k < KEYS; k++) {
      for (var c = 0u; c < KEY_COLUMNS; c++) {
        let key = widenCached(tileKeys[k * KEY_COLUMNS + c]);
        for (var h = 0u; h < TILE_HEADS; h++) {
          scores[h * KEYS + k] = addDot(scores[h * KEYS + k], queries[h * KEY_COLUMNS + c], key);
        }
      }
    }
    for (var step = 1u; step < KEY_LANES; step *= 2u) {
      for (var i = 0u; i < TILE_HEADS * KEYS; i++) { scores[i] += subgroupShuffleXor(scores[i], step); }
    }
    for (var h = 0u; h < TILE_HEADS; h++) {
      let before = largest[h];
      for (var k = 0u; k < KEYS; k++) {
        var score = scores[h * KEYS + k];
#if SOFT_CAP
        score = softCap1(score, params.cap);
#endif
#if BIAS != "none"
        score += scoreBias(firstHead + min(h, headCount - 1u), start + k * TEAMS, ownPosition(row));
#endif
        score = select(INVISIBLE, score, start + k * TEAMS <= last);
        scores[h * KEYS + k] = score;
        largest[h] = max(largest[h], score);
      }
      let decay = exp1(before - largest[h]);
      total[h] *= decay;
      for (var k = 0u; k < KEYS; k++) {
        let weight = exp1(scores[h * KEYS + k] - largest[h]);
        scores[h * KEYS + k] = weight;
        total[h] += weight;
      }
      for (var c = 0u; c < KEY_COLUMNS; c++) { outputs[h * KEY_COLUMNS + c] *= decay; }
    }
    for (var k = 0u; k < KEYS; k++) {
      for (var c = 0u; c < KEY_COLUMNS; c++) {
        let value = widenCached(tileValues[k * KEY_COLUMNS + c]);
        for (var h = 0u; h < TILE_HEADS; h++) { outputs[h * KEY_COLUMNS + c] += scores[h * KEYS + k] * value; }
      }
    }
  }

  // The teams of a subgroup. A team that saw nothing has the largest score LOWEST, the sum 0 and the values 0.
  var most = largest;
  for (var step = KEY_LANES; step < subgroupSize; step *= 2u) {
    for (var h = 0u; h < TILE_HEADS; h++) { most[h] = max(most[h], subgroupShuffleXor(most[h], step)); }
  }
  for (var h = 0u; h < TILE_HEADS; h++) {
    let factor = exp1(largest[h] - most[h]);
    total[h] *= factor;
    for (var c = 0u; c < KEY_COLUMNS; c++) { outputs[h * KEY_COLUMNS + c] *= factor; }
  }
  for (var step = KEY_LANES; step < subgroupSize; step *= 2u) {
    for (var h = 0u; h < TILE_HEADS; h++) { total[h] += subgroupShuffleXor(total[h], step); }
    for (var i = 0u; i < TILE_HEADS * KEY_COLUMNS; i++) { outputs[i] += subgroupShuffleXor(outputs[i], step); }
  }
  if (lane < KEY_LANES) {
    for (var h = 0u; h < TILE_HEADS; h++) {
      let at = (subgroup * TILE_HEADS + h) * COLUMNS + column;
      for (var c = 0u; c < KEY_COLUMNS; c++) { sums[at + c * KEY_LANES] = outputs[h * KEY_COLUMNS + c]; }
    }
  }
  if (lane == 0u) {
    for (var h = 0u; h < TILE_HEADS; h++) { states[subgroup * TILE_HEADS + h] = vec2(most[h], total[h]); }
  }
  workgroupBarrier();

  // The subgroups.
  for (var i = local; i < headCount * COLUMNS; i += WORKGROUP) {
    let h = i / COLUMNS;
    var highest = LOWEST;
    for (var s = 0u; s < subgroups; s++) { highest = max(highest, states[s * TILE_HEADS + h].x); }
    var weights = 0.0;
    var sum = vec4(0.0);
    for (var s = 0u; s < subgroups; s++) {
      let state = states[s * TILE_HEADS + h];
      let factor = exp1(state.x - highest);
      weights += factor * state.y;
      sum += factor * sums[(s * TILE_HEADS + h) * COLUMNS + i % COLUMNS];
    }
#if DIRECT
#if SINKS
    weights += sinkWeight(firstHead + h, highest);
#endif
    output[(row * HEADS + firstHead) * COLUMNS + i] = sum / weights;
#else
    let record = recordStart(row, firstHead + h, split);
    partials[record + i % COLUMNS] = sum;
    if (i % COLUMNS == 0u) { partials[record + COLUMNS] = vec4(highest, weights, 0.0, 0.0); }
#endif
  }
}
