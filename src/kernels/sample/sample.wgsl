// Draws a token as sampler.ts does: top-k, top-p, min-p, then the inverse of the cumulative distribution. One
// workgroup, after chunk-maxima and, without top-k, weigh-chunks.
//
// The k-th highest of the chunk maxima is at most the k-th highest key: only the chunks that reach it, about k, are
// read again. Without top-k, so many are read that what is left out weighs no more than top-p removes. Where that is
// most of the vocabulary (a flat distribution, a top-k of thousands), one workgroup reads it: right, but slower.
// Candidates stay in the order of their ids.
#include "sample/finish.wgsl"
#include "sample/philox.wgsl"
#include "sample/scan.wgsl"
#include "sample/softmax-weight.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> choice: array<u32>;
@group(0) @binding(3) var<storage, read_write> work: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<u32>; // a row: token, status, position, bits of the highest logit
@group(0) @binding(6) var<storage, read> powers: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

// Without top-k: how many of the highest tokens are thought to hold the nucleus, and the factor when they do not.
const FIRST_GUESS = 128u;
const GROWTH = 8u;

const BIN_BITS = 8u;
const_assert WORKGROUP == 1u << BIN_BITS;

var<workgroup> binLow: array<atomic<u32>, WORKGROUP>;
var<workgroup> binHigh: array<atomic<u32>, WORKGROUP>;
// The bin at which the sum exceeds the limit, and what is left of the limit for it.
var<workgroup> crossedBin: vec3<u32>;
var<workgroup> found: u32;

// A part of `work`.
struct List {
  start: u32,
  size: u32,
}

struct Crossing {
  key: u32,
  // The limit less the sum of all below the key.
  rest: vec2<u32>,
}

// The key at which the sum of weights (or of ones), in ascending order of keys, first exceeds the limit: a radix
// select. All keys lie in lowest .. highest.
fn crossing(keys: List, isWeighted: bool, lowest: u32, highest: u32, limit: vec2<u32>, local: u32) -> Crossing {
  var reached = Crossing(lowest, limit);
  var bits = 32u - countLeadingZeros(highest - lowest);
  while (bits > 0u) {
    let shift = bits - min(bits, BIN_BITS);
    atomicStore(&binLow[local], 0u);
    atomicStore(&binHigh[local], 0u);
    workgroupBarrier();
    for (var i = local; i < keys.size; i += WORKGROUP) {
      let key = work[keys.start + i];
      let offset = key - reached.key;
      if (key < reached.key || offset > (0xffffffffu >> (32u - bits))) { continue; }
      var weight = 1u;
      if (isWeighted) { weight = work[WEIGHTS + i]; }
      let before = atomicAdd(&binLow[offset >> shift], weight);
      if (before + weight < before) { atomicAdd(&binHigh[offset >> shift], 1u); }
    }
    workgroupBarrier();
    let sum = vec2(atomicLoad(&binLow[local]), atomicLoad(&binHigh[local]));
    let after = scan(sum, local).inclusive;
    let before = subtract64(after, sum);
    if (!isLess64(reached.rest, before) && isLess64(reached.rest, after)) {
      crossedBin = vec3(local, subtract64(reached.rest, before));
    }
    let bin = workgroupUniformLoad(&crossedBin);
    reached = Crossing(reached.key + (bin.x << shift), bin.yz);
    bits = shift;
  }
  return reached;
}

// The key of rank k from above; of a list that is shorter, the lowest.
fn kthHighest(keys: List, k: u32, lowest: u32, highest: u32, local: u32) -> u32 {
  if (k >= keys.size) { return lowest; }
  return crossing(keys, false, lowest, highest, vec2(keys.size - k, 0u), local).key;
}

// A key that at least k tokens reach, and not many more; of fewer tokens, the lowest number: -Infinity is out of the
// choice.
fn chunkBound(k: u32, highest: u32, local: u32) -> u32 {
  let kth = kthHighest(List(0u, CHUNKS), k, MINUS_INFINITY_KEY, highest, local);
  return max(kth, MINUS_INFINITY_KEY + 1u);
}

// Writes a list of the chunks whose maximum reaches a key.
fn listChunks(lowest: u32, local: u32) -> u32 {
  let share = shareOf(CHUNKS, local);
  var size = 0u;
  for (var chunk = share.begin; chunk < share.end; chunk++) { size += u32(work[chunk] >= lowest); }
  let listed = scan(vec2(size, 0u), local);
  var end = LISTED + listed.inclusive.x - size;
  for (var chunk = share.begin; chunk < share.end; chunk++) {
    if (work[chunk] >= lowest) {
      work[end] = chunk;
      end++;
    }
  }
  storageBarrier();
  return broadcast(listed.total.x, local);
}

// Writes keys and ids of the tokens that reach a key.
fn listCandidates(lowest: u32, local: u32) -> List {
  let chunks = listChunks(lowest, local);
  var size = 0u;
  for (var first = 0u; first < chunks * QUADS_PER_CHUNK; first += WORKGROUP) {
    var keys = vec4(NO_KEY);
    var token = 0u;
    if (first + local < chunks * QUADS_PER_CHUNK) {
      let chunk = work[LISTED + (first + local) / QUADS_PER_CHUNK];
      let quad = chunk * QUADS_PER_CHUNK + (first + local) % QUADS_PER_CHUNK;
      keys = scaledKeys(quad);
      token = quad * 4u;
    }
    let reaches = vec4<u32>(keys >= vec4(lowest));
    let own = reaches.x + reaches.y + reaches.z + reaches.w;
    let listed = scan(vec2(own, 0u), local);
    var end = size + listed.inclusive.x - own;
    for (var i = 0u; i < 4u; i++) {
      if (reaches[i] == 1u) {
        work[KEYS + end] = keys[i];
        work[IDS + end] = token + i;
        end++;
      }
    }
    size += listed.total.x;
  }
  storageBarrier();
  return List(KEYS, broadcast(size, local));
}

// Gives every candidate its weight, 0 to those below a key.
fn weigh(candidates: List, lowest: u32, highest: u32, local: u32) -> vec2<u32> {
  var sum = vec2(0u);
  for (var i = local; i < candidates.size; i += WORKGROUP) {
    let key = work[KEYS + i];
    var weight = 0u;
    if (key >= lowest) { weight = keyWeight(key, highest, farthestWeighed()); }
    work[WEIGHTS + i] = weight;
    sum = add64(sum, vec2(weight, 0u));
  }
  storageBarrier();
  return scan(sum, local).total;
}

// The total weight, from the sums that weigh-chunks found.
fn totalOfChunks(local: u32) -> vec2<u32> {
  var sum = vec2(0u);
  for (var chunk = local; chunk < CHUNKS; chunk += WORKGROUP) { sum = add64(sum, chunkSum(chunk)); }
  return scan(sum, local).total;
}

// Which candidate the sum of weights, in the order of ids, first exceeds the goal at; with `only`, of those with this
// key.
fn pick(candidates: List, only: u32, goal: vec2<u32>, local: u32) -> u32 {
  let share = shareOf(candidates.size, local);
  var own = vec2(0u);
  for (var i = share.begin; i < share.end; i++) { own = add64(own, weightOf(i, only)); }
  let after = scan(own, local).inclusive;
  var sum = subtract64(after, own);
  if (!isLess64(goal, sum) && isLess64(goal, after)) {
    for (var i = share.begin; i < share.end; i++) {
      sum = add64(sum, weightOf(i, only));
      if (isLess64(goal, sum)) {
        found = i;
        break;
      }
    }
  }
  return workgroupUniformLoad(&found);
}

fn weightOf(i: u32, only: u32) -> vec2<u32> {
  if (only != NO_KEY && work[KEYS + i] != only) { return vec2(0u); }
  return vec2(work[WEIGHTS + i], 0u);
}

// Nucleus sampling, by removal from below until the limit is exceeded (keepNucleus of logits-processors.ts); then
// min-p. Returns the weight that is left.
fn keepNucleus(candidates: List, lowest: u32, highest: u32, limit: vec2<u32>, local: u32) -> vec2<u32> {
  let crossed = crossing(candidates, true, lowest, highest, limit, local);
  // Among equal keys the lower ids are removed first.
  let first = pick(candidates, crossed.key, crossed.rest, local);
  var sum = vec2(0u);
  for (var i = local; i < candidates.size; i += WORKGROUP) {
    let key = work[KEYS + i];
    let isKept = key > crossed.key || (key == crossed.key && i >= first);
    if (isKept && distanceBelow(valueOf(highest), valueOf(key)) <= params.farthest) {
      sum = add64(sum, vec2(work[WEIGHTS + i], 0u));
    } else {
      work[WEIGHTS + i] = 0u;
    }
  }
  storageBarrier();
  return scan(sum, local).total;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  if (broadcast(choice[STATUS], local) != OK) { return; }
  let highest = highestKey(local);
  if (statusOf(highest) != OK) {
    let token = mostLikely(highest, local);
    if (local == 0u) { finish(token, statusOf(highest), highest); }
    return;
  }

  let hasTopK = params.topK > 0u;
  var k = select(FIRST_GUESS, params.topK, hasTopK);
  var lowest = 0u;
  var candidates: List;
  var total = vec2(0u);
  // What top-p may still remove.
  var limit = vec2(0u);
  loop {
    lowest = chunkBound(k, highest, local);
    candidates = listCandidates(lowest, local);
    if (hasTopK) { lowest = kthHighest(candidates, k, lowest, highest, local); }
    total = weigh(candidates, lowest, highest, local);
    var all = total;
    if (!hasTopK) { all = totalOfChunks(local); }
    // What is not listed lies below and is removed first. If that is too much, the list is too short.
    limit = scaleByFraction(all, params.removable);
    let unlisted = subtract64(all, total);
    if (broadcast(u32(isLess64(limit, unlisted)), local) == 0u) {
      limit = subtract64(limit, unlisted);
      break;
    }
    k *= GROWTH;
  }
  if (params.removable > 0u) { total = keepNucleus(candidates, lowest, highest, limit, local); }
  let picked = pick(candidates, NO_KEY, scaleByFraction(total, drawnWord()), local);
  if (local == 0u) { finish(work[IDS + picked], OK, highest); }
}
