// What block.wgsl computes, on the matrix units of the hardware (Dawn's subgroup matrices): FlashAttention with factors in
// f16, sums in f32. Workgroups: (KV heads · HEAD_TILES, tiles). Keys pass in tiles of KEYS, counted from position 0: what a row
// gets does not depend on the rows beside it.
//
// Both products are of all the workgroup's QUERIES, and SUBGROUP_ROWS × SUBGROUP_COLUMNS subgroups share them: a subgroup has
// ROW_MATRICES × SCORE_MATRICES matrices of the scores and as many rows by OUTPUT_MATRICES of the output, which stays in
// its registers, as do its queries. The elements of a matrix cannot be reached; so scores go through workgroup memory,
// where LANES invocations a query turn them into weights. A tile passes three barriers:
//
//     scores of this tile                        reads the keys of this tile, writes `scores`
//     ---
//     values of this tile, keys of the next      from registers to `stage`
//     weights                                    reads `scores`, writes `weights`
//     --- (two: whether the output has to be rescaled is known to all)
//     values and keys of the tiles behind        to registers, on their way meanwhile (PREFETCH)
//     output                                     reads `weights` and the values
//
// Without PREFETCH values and keys are on their way while weights are computed: that takes fewer registers, and hides less.
//
// Weights are relative to a reference of the row, which is set below one of its scores and stays until a score exceeds it by
// far: so most tiles leave the output as it is, and no weight exceeds f16. Scores are in powers of two.
//
// What f16 cannot hold: a query is divided by the power of two that puts its largest number between 2^14 and 2^15, so nothing
// overflows, and what is lost to underflow is 2^-38 of that number or less; one with an infinity or NaN gets NaN. Keys and values
// of an f32 cache saturate at 65504; NaN stays.
#if SOFT_CAP
#include "common/tanh.wgsl"
#endif
#if SOURCE
#include "common/rows.wgsl"
#endif
#include "attention/visible.wgsl"
#include "common/half-scale.wgsl"

struct Params {
  scale: f32,
  // The soft cap of scores (SOFT_CAP).
  cap: f32,
  // Where the sinks begin among the vectors (SINKS).
  sinks: u32,
}

// Sixteen bytes of the cache: PIECE quads of numbers.
#if CACHE == "f16"
alias Piece = vec4<u32>;
const PIECE = 2u;
#else
alias Piece = vec4<f32>;
const PIECE = 1u;
#endif

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>; // [R][HEADS][COLUMNS]
@group(0) @binding(1) var<storage, read> keys: array<Piece>;
@group(0) @binding(2) var<storage, read> values: array<Piece>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>; // [R][HEADS][COLUMNS]
// [tiles]: first row, number of rows, slot, position of the first row; see attentionTiles().
@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
#if SOURCE
@group(0) @binding(5) var<storage, read> rows: array<u32>;
#endif
#if SINKS
@group(0) @binding(PARAMS_BINDING - 1u) var<storage, read> vectors: array<f32>;
#endif
@group(0) @binding(PARAMS_BINDING) var<uniform> params: Params;

const SUBGROUPS = SUBGROUP_ROWS * SUBGROUP_COLUMNS;
const WORKGROUP = SUBGROUPS * SUBGROUP_SIZE;
// Invocations of a query; each has every LANES-th quad.
const LANES = WORKGROUP / QUERIES;
const KEY_QUADS = KEYS / 4u;

// Sixteen bytes between rows of halves spread the rows of a matrix over the banks.
const PITCH = COLUMNS + 2u;
const WEIGHT_PITCH = KEY_QUADS + 2u;
const SCORE_PITCH = KEY_QUADS + SCORE_PADDING / 4u;
// Queries come through `stage` in QUERY_ROUNDS slices of columns.
const SLICE = COLUMNS / QUERY_ROUNDS;
const QUERY_PITCH = SLICE + 2u;
const VALUES = KEYS * PITCH;

// Columns of the output that one subgroup has, in quads, and how many of them `scores` holds at a time.
const OUTPUT_QUADS = COLUMNS / SUBGROUP_COLUMNS;
const ROUND_QUADS = KEY_QUADS / SUBGROUP_COLUMNS;

const LOG2_E = 1.44269504088896341f;

// By how much a row's reference is below the score that it is set by, and by how much a score may exceed it: f16 holds 2^14
// and, with less precision, down to 2^-24; the largest weight is 2^3 or more.
const BELOW = 3.0;
const ABOVE = 14.0;

// First all queries, a slice of columns; then KEYS keys and, at VALUES, KEYS values.
var<workgroup> stage: array<Stored, max(2u * KEYS * PITCH, QUERIES * QUERY_PITCH)>;
var<workgroup> scores: array<vec4<f32>, QUERIES * SCORE_PITCH>;
var<workgroup> weights: array<Stored, QUERIES * WEIGHT_PITCH>;
// Bits of one number of each invocation; then, at GROWTH, whether a row of this tile has to have another reference. Every
// variable is a multiple of 16 bytes, so that matrices lie on such whatever the order in memory.
var<workgroup> exchange: array<atomic<u32>, WORKGROUP + 4u>;
const GROWTH = WORKGROUP;

#include "attention/block-matrix-unit.wgsl"

#include "attention/block-matrix-stage.wgsl"

alias Own = array<vec4<f32>, QUADS_EACH>;

// Writes the weights of an invocation's scores, from quad `at` on, and gives their sum: that of the rounded ones, so that
// rounding cannot make the weights of a row sum to anything but 1.
fn keepWeights(own: Own, reference: f32, at: u32) -> f32 {
  var sum = vec4(0.0);
#for J QUADS_EACH
  {
    let rounded = toHalf(exp2(own[$J] - reference));
    weights[at + $J * LANES] = rounded;
    sum += vec4<f32>(rounded);
  }
#endfor
  return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if !EMULATED
  @builtin(subgroup_id) subgroupId: u32,
#endif
) {
#if EMULATED
  lane = local % SUBGROUP_SIZE;
  let subgroup = local / SUBGROUP_SIZE;
#else
  // Where subgroups are smaller than the largest, there are more of them; they repeat what others do.
  let subgroup = subgroupId % SUBGROUPS;
#endif
  // The last rows see the most: their workgroups start first, and those that end soon fill what is left of the cores.
  let tile = tiles[workgroups.y - 1u - workgroup.y];
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
  let kvHead = workgroup.x / HEAD_TILES;
  let groupHead = (workgroup.x % HEAD_TILES) * TILE_HEADS;
  let firstHead = kvHead * GROUP + groupHead;
  let headCount = min(TILE_HEADS, GROUP - groupHead);
  let cache = cacheStart(slot, kvHead);

  // An invocation's query, and which quads of it are its own: `part`, and every LANES-th from there.
  let ownQuery = local / LANES;
  let part = local % LANES;
  let ownRow = ownQuery / TILE_HEADS;
  let ownHead = ownQuery % TILE_HEADS;
  let hasQuery = ownRow < tile.y && ownHead < headCount;
  let queryAt = ((firstRow + ownRow) * HEADS + firstHead + ownHead) * COLUMNS;
#if SOURCE
  let ownLast = last;
#else
  let ownLast = firstPosition + ownRow;
#endif

  // A subgroup's matrices.
  let rowsBegin = subgroup / SUBGROUP_COLUMNS * ROW_MATRICES * MATRIX_ROWS;
  let subgroupColumn = subgroup % SUBGROUP_COLUMNS;
  let ownKeys = subgroupColumn * SCORE_MATRICES * MATRIX_COLUMNS * PITCH;
  let ownValues = VALUES + subgroupColumn * OUTPUT_QUADS;
  let ownWeights = rowsBegin * WEIGHT_PITCH;
  let ownScores = rowsBegin * SCORE_PITCH + subgroupColumn * ROUND_QUADS;

  let firstKey = first / KEYS * KEYS;
  var loadedKeys = loadKeys(local, cache, firstKey, first, last);
#if PREFETCH
  var loadedValues = loadValues(local, cache, firstKey, first, last);
#endif

  // Bits of numbers without sign are in the order of the numbers, and those of NaN above all.
  var bits = vec4(0u);
  if (hasQuery) {
    for (var column = part; column < COLUMNS; column += LANES) {
      bits = max(bits, bitcast<vec4<u32>>(query[queryAt + column]) & vec4(0x7fffffffu));
    }
  }
  atomicStore(&exchange[local], max(max(bits.x, bits.y), max(bits.z, bits.w)));
  if (local == 0u) { atomicStore(&exchange[GROWTH], 0u); }
  workgroupBarrier();
  var most = 0u;
  for (var i = 0u; i < LANES; i++) { most = max(most, atomicLoad(&exchange[ownQuery * LANES + i])); }
  let exponent = scaleExponent(most);
  let factor = factorOf(exponent);
  // A score of the units, times this, is a power of two.
  let power = bitcast<f32>(scaleBits(exponent));
#if SOFT_CAP
  let rowScale = power * params.scale;
#else
  let rowScale = power * params.scale * LOG2_E;
#endif

  var queries: array<Left, DIM_STEPS * ROW_MATRICES>;
#for R QUERY_ROUNDS
  for (var column = part; column < SLICE; column += LANES) {
    var numbers = vec4(0.0);
    if (hasQuery) { numbers = query[queryAt + $R * SLICE + column] * factor; }
    stage[ownQuery * QUERY_PITCH + column] = toHalf(numbers);
  }
  workgroupBarrier();
#for K QUERY_STEPS
#for I ROW_MATRICES
  queries[($R * QUERY_STEPS + $K) * ROW_MATRICES + $I] =
    queryMatrix((rowsBegin + $I * MATRIX_ROWS) * QUERY_PITCH + $K * (MATRIX_K / 4u));
#endfor
#endfor
  workgroupBarrier();
#endfor
  stageTile(local, loadedKeys, 0u);
#if PREFETCH
  loadedKeys = loadKeys(local, cache, firstKey + KEYS, first, last);
#endif
  workgroupBarrier();

  var reference = LOWEST;
  // The sum of the weights of this invocation's keys.
  var sum = 0.0;
  // The output so far, times what the weights of a row sum to.
  var outputs: array<Result, ROW_MATRICES * OUTPUT_MATRICES>;
#for I ROW_MATRICES
#for C OUTPUT_MATRICES
  outputs[$I * OUTPUT_MATRICES + $C] = Result();
#endfor
#endfor

  for (var start = firstKey; start <= last; start += KEYS) {
    // Values are set here: Dawn clears a variable without a value only once, not in every iteration (its SPIR-V, webgpu
    // 0.6.2).
    var products: array<Result, ROW_MATRICES * SCORE_MATRICES>;
#for I ROW_MATRICES
#for J SCORE_MATRICES
    products[$I * SCORE_MATRICES + $J] = Result();
#endfor
#endfor
#for K DIM_STEPS
#for J SCORE_MATRICES
    {
      let key = keyMatrix(ownKeys + $J * MATRIX_COLUMNS * PITCH + $K * (MATRIX_K / 4u));
#for I ROW_MATRICES
      products[$I * SCORE_MATRICES + $J] =
        multiplyAdd(queries[$K * ROW_MATRICES + $I], key, products[$I * SCORE_MATRICES + $J]);
#endfor
    }
#endfor
#endfor
#for I ROW_MATRICES
#for J SCORE_MATRICES
    storeResult(
      ownScores + $I * MATRIX_ROWS * SCORE_PITCH + $J * (MATRIX_COLUMNS / 4u),
      products[$I * SCORE_MATRICES + $J],
    );
#endfor
#endfor
    workgroupBarrier();
#if PREFETCH
    stageTile(local, loadedValues, VALUES);
    stageTile(local, loadedKeys, 0u);
#else
    let loadedValues = loadValues(local, cache, start, first, last);
    loadedKeys = loadKeys(local, cache, start + KEYS, first, last);
#endif

    var own = Own();
    var largest = vec4(INVISIBLE);
    // Whether every row of the tile sees every key of this one.
    var isWhole = start + KEYS - 1u <= last;
#if !SOURCE
    isWhole = start + KEYS - 1u <= firstPosition;
#if WINDOW != 0
    isWhole = isWhole && start + WINDOW > last;
#endif
#endif
#for J QUADS_EACH
    {
      let quad = $J * LANES + part;
      var score = scores[ownQuery * SCORE_PITCH + quad] * rowScale;
#if SOFT_CAP
      score = softCap4(score, params.cap) * LOG2_E;
#endif
      if (!isWhole) {
        let position = vec4(start + 4u * quad) + vec4(0u, 1u, 2u, 3u);
        var seen = position <= vec4(ownLast);
#if WINDOW != 0
        seen = seen & (position + vec4(WINDOW) > vec4(ownLast));
#endif
        score = select(vec4(INVISIBLE), score, seen);
      }
      largest = max(largest, score);
      own[$J] = score;
    }
#endfor
    let ownLargest = max(max(largest.x, largest.y), max(largest.z, largest.w));
    atomicStore(&exchange[local], bitcast<u32>(ownLargest));
    if (ownLargest > reference + ABOVE) { atomicStore(&exchange[GROWTH], 1u); }
    let weightsAt = ownQuery * WEIGHT_PITCH + part;
    var added = keepWeights(own, reference, weightsAt);
#if !PREFETCH
    stageTile(local, loadedValues, VALUES);
    stageTile(local, loadedKeys, 0u);
#endif

    let grows = workgroupUniformLoad(&exchange[GROWTH]) != 0u;
    if (grows) {
      if (local == 0u) { atomicStore(&exchange[GROWTH], 0u); }
      var rowLargest = ownLargest;
      for (var i = 0u; i < LANES; i++) {
        rowLargest = max(rowLargest, bitcast<f32>(atomicLoad(&exchange[ownQuery * LANES + i])));
      }
      // Rows that stay as they are multiply by 1.
      var decay = 1.0;
      if (rowLargest > reference + ABOVE) {
        decay = exp2(reference - (rowLargest - BELOW));
        reference = rowLargest - BELOW;
      }
      sum *= decay;
      added = keepWeights(own, reference, weightsAt);
      if (start == firstKey) {
        // There is no output yet.
        workgroupBarrier();
      } else {
#for T OUTPUT_ROUNDS
#for I ROW_MATRICES
#for J SCORE_MATRICES
        storeResult(
          ownScores + $I * MATRIX_ROWS * SCORE_PITCH + $J * (MATRIX_COLUMNS / 4u),
          outputs[$I * OUTPUT_MATRICES + min($T * SCORE_MATRICES + $J, OUTPUT_MATRICES - 1u)],
        );
#endfor
#endfor
        workgroupBarrier();
#for J QUADS_EACH
        scores[ownQuery * SCORE_PITCH + $J * LANES + part] *= decay;
#endfor
        workgroupBarrier();
#for I ROW_MATRICES
#for J SCORE_MATRICES
        outputs[$I * OUTPUT_MATRICES + min($T * SCORE_MATRICES + $J, OUTPUT_MATRICES - 1u)] =
          loadResult(ownScores + $I * MATRIX_ROWS * SCORE_PITCH + $J * (MATRIX_COLUMNS / 4u));
#endfor
#endfor
        workgroupBarrier();
#endfor
      }
    }
    sum += added;

#if PREFETCH
    loadedKeys = loadKeys(local, cache, start + 2u * KEYS, first, last);
    loadedValues = loadValues(local, cache, start + KEYS, first, last);
#endif
#for K KEY_STEPS
    {
      var left: array<Left, ROW_MATRICES>;
#for I ROW_MATRICES
      left[$I] = weightMatrix(ownWeights + $I * MATRIX_ROWS * WEIGHT_PITCH + $K * (MATRIX_K / 4u));
#endfor
#for C OUTPUT_MATRICES
      {
        let value = valueMatrix(ownValues + $K * MATRIX_K * PITCH + $C * (MATRIX_COLUMNS / 4u));
#for I ROW_MATRICES
        outputs[$I * OUTPUT_MATRICES + $C] = multiplyAdd(left[$I], value, outputs[$I * OUTPUT_MATRICES + $C]);
#endfor
      }
#endfor
    }
#endfor
  }

  atomicStore(&exchange[local], bitcast<u32>(sum));
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < LANES; i++) { total += bitcast<f32>(atomicLoad(&exchange[ownQuery * LANES + i])); }
#if SINKS
  // The sink joins last (sink.wgsl), in powers of two as the scores are; at 126 the exponential is near the end of f32.
  let sink = vectors[params.sinks + firstHead + min(ownHead, headCount - 1u)];
  total += exp2(min(sink * LOG2_E - reference, 126.0));
#endif
#for T OUTPUT_ROUNDS
#for I ROW_MATRICES
#for J SCORE_MATRICES
  storeResult(
    ownScores + $I * MATRIX_ROWS * SCORE_PITCH + $J * (MATRIX_COLUMNS / 4u),
    outputs[$I * OUTPUT_MATRICES + min($T * SCORE_MATRICES + $J, OUTPUT_MATRICES - 1u)],
  );
#endfor
#endfor
  workgroupBarrier();
#for J QUADS_EACH
  {
    let quad = $J * LANES + part;
    // The column within those of the subgroup.
    let column = $T * ROUND_QUADS + quad % ROUND_QUADS;
    if (hasQuery && column < OUTPUT_QUADS) {
      output[queryAt + quad / ROUND_QUADS * OUTPUT_QUADS + column] = scores[ownQuery * SCORE_PITCH + quad] / total;
    }
  }
#endfor
  workgroupBarrier();
#endfor
}
