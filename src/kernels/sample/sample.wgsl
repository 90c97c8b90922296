// Draws a token as sampler.ts does: top-k, top-p, min-p, then the inverse of the cumulative distribution. One workgroup,
// after chunk-maxima.
//
// The k-th highest of the chunk maxima is at most the k-th highest key: only the chunks that reach it, about k, are read
// again. Candidates stay in the order of their ids throughout.
#include "sample/finish.wgsl"
#include "sample/philox.wgsl"
#include "sample/scan.wgsl"
#include "sample/softmax-weight.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> choice: array<u32>;
@group(0) @binding(3) var<storage, read_write> work: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<u32>; // token, status, position, bits of the highest logit
@group(0) @binding(6) var<storage, read> powers: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

// In `work`: the maxima, the chunks that are read again, then keys, ids and weights of candidates: at worst, when all
// logits are equal, the whole vocabulary.
const LISTED = CHUNKS;
const KEYS = 2u * CHUNKS;
const IDS = KEYS + VOCABULARY;
const WEIGHTS = IDS + VOCABULARY;

const BIN_BITS = 8u; // 2^BIN_BITS = WORKGROUP

var<workgroup> binLow: array<atomic<u32>, WORKGROUP>;
var<workgroup> binHigh: array<atomic<u32>, WORKGROUP>;
// The bin, and what of the limit is left for it.
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

// The key at which the sum of weights (or of ones), in ascending order of keys, first exceeds the limit: a radix select.
// All keys lie in lowest .. highest.
fn crossing(keys: List, isWeighted: bool, lowest: u32, highest: u32, limit: vec2<u32>, local: u32) -> Crossing {
  var result = Crossing(lowest, limit);
  var bits = 32u - countLeadingZeros(highest - lowest);
  while (bits > 0u) {
    let shift = bits - min(bits, BIN_BITS);
    atomicStore(&binLow[local], 0u);
    atomicStore(&binHigh[local], 0u);
    workgroupBarrier();
    for (var i = local; i < keys.size; i += WORKGROUP) {
      let key = work[keys.start + i];
      let offset = key - result.key;
      if (key < result.key || offset > (0xffffffffu >> (32u - bits))) { continue; }
      var weight = 1u;
      if (isWeighted) { weight = work[WEIGHTS + i]; }
      let before = atomicAdd(&binLow[offset >> shift], weight);
      if (before + weight < before) { atomicAdd(&binHigh[offset >> shift], 1u); }
    }
    workgroupBarrier();
    let sum = vec2(atomicLoad(&binLow[local]), atomicLoad(&binHigh[local]));
    let after = scan(sum, local).inclusive;
    let before = subtract64(after, sum);
    if (!isLess64(result.rest, before) && isLess64(result.rest, after)) {
      crossedBin = vec3(local, subtract64(result.rest, before));
    }
    let bin = workgroupUniformLoad(&crossedBin);
    result = Crossing(result.key + (bin.x << shift), bin.yz);
    bits = shift;
  }
  return result;
}

// The key of rank k from above; of a list that is shorter, the lowest.
fn kthHighest(keys: List, k: u32, lowest: u32, highest: u32, local: u32) -> u32 {
  if (k >= keys.size) { return lowest; }
  return crossing(keys, false, lowest, highest, vec2(keys.size - k, 0u), local).key;
}

// What an invocation does of `count` things in order.
struct Share {
  begin: u32,
  end: u32,
}

fn shareOf(count: u32, local: u32) -> Share {
  let size = (count + WORKGROUP - 1u) / WORKGROUP;
  return Share(min(local * size, count), min((local + 1u) * size, count));
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

// Writes keys and ids of the tokens, of the listed chunks, that reach a key.
fn listCandidates(chunks: u32, lowest: u32, local: u32) -> u32 {
  var size = 0u;
  for (var first = 0u; first < chunks * QUADS_PER_CHUNK; first += WORKGROUP) {
    var keys = vec4(NO_KEY);
    var token = 0u;
    if (first + local < chunks * QUADS_PER_CHUNK) {
      let chunk = work[LISTED + (first + local) / QUADS_PER_CHUNK];
      let quad = chunk * QUADS_PER_CHUNK + (first + local) % QUADS_PER_CHUNK;
      keys = historyKeys(quad);
      for (var i = 0u; i < 4u; i++) { keys[i] = scaledKey(keys[i]); }
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
  return broadcast(size, local);
}

// Gives every candidate its weight, 0 to those below a key or too far (min-p) from the highest.
fn weigh(candidates: List, lowest: u32, highest: u32, farthest: u32, local: u32) -> vec2<u32> {
  var sum = vec2(0u);
  for (var i = local; i < candidates.size; i += WORKGROUP) {
    let key = work[KEYS + i];
    let below = distance(valueOf(highest), valueOf(key));
    var weight = 0u;
    if (key >= lowest && below <= farthest) { weight = softmaxWeight(below); }
    work[WEIGHTS + i] = weight;
    sum = add64(sum, vec2(weight, 0u));
  }
  storageBarrier();
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

// Nucleus sampling, by removal from below (keepNucleus of logits-processors.ts); then min-p. Returns the weight that is left.
fn keepNucleus(candidates: List, lowest: u32, highest: u32, total: vec2<u32>, local: u32) -> vec2<u32> {
  let limit = scaleByFraction(total, params.removable);
  let crossed = crossing(candidates, true, lowest, highest, limit, local);
  // Of equal keys the lower ids are removed first.
  let first = pick(candidates, crossed.key, crossed.rest, local);
  var sum = vec2(0u);
  for (var i = local; i < candidates.size; i += WORKGROUP) {
    let key = work[KEYS + i];
    let isKept = key > crossed.key || (key == crossed.key && i >= first);
    if (isKept && distance(valueOf(highest), valueOf(key)) <= params.farthest) {
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

  // -Infinity is never a candidate.
  let lowest = MINUS_INFINITY_KEY + 1u;
  let bound = max(lowest, kthHighest(List(0u, CHUNKS), params.topK, MINUS_INFINITY_KEY, highest, local));
  let candidates = List(KEYS, listCandidates(listChunks(bound, local), bound, local));
  let kth = kthHighest(candidates, params.topK, bound, highest, local);

  let hasNucleus = params.removable > 0u;
  var total = weigh(candidates, kth, highest, select(params.farthest, INFINITY, hasNucleus), local);
  if (hasNucleus) { total = keepNucleus(candidates, kth, highest, total, local); }

  let counter = vec4(choice[POSITION], params.sequence0, params.sequence1, params.sequence2);
  let draw = philox(counter, vec2(params.seedLow, params.seedHigh));
  let picked = pick(candidates, NO_KEY, scaleByFraction(total, draw), local);
  if (local == 0u) { finish(work[IDS + picked], OK, highest); }
}
