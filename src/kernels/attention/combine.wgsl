// Merges the splits of a row (splits.wgsl): their sums, each scaled to the largest score of all, over the sum of weights, the
// sink's (SINKS) behind all others.
// Rows that have none were written directly, and are left alone. Workgroups: (HEADS, COLUMN_TILES, R).
#include "common/rows.wgsl"
#include "common/exp.wgsl"
#include "attention/splits.wgsl"

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>; // [R][HEADS][COLUMNS]
@group(0) @binding(2) var<storage, read> rows: array<u32>;
#if SINKS
// As the kernels before have them (bias.wgsl).
struct Params {
  scale: f32,
  cap: f32,
  sinks: u32,
}

@group(0) @binding(3) var<storage, read> vectors: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
#include "attention/sink.wgsl"
#endif

// An invocation has one of the COLUMNS_AT_ONCE columns of a workgroup, of every SPLITS_AT_ONCE-th split.
const SPLITS_AT_ONCE = WORKGROUP / COLUMNS_AT_ONCE;
const STEPS = (MAX_SPLITS + SPLITS_AT_ONCE - 1u) / SPLITS_AT_ONCE;

// (largest score, sum of weights) of each split.
var<workgroup> states: array<vec2<f32>, MAX_SPLITS>;
var<workgroup> sums: array<vec4<f32>, WORKGROUP>;
var<workgroup> totals: array<f32, SPLITS_AT_ONCE>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let head = workgroup.x;
  let row = workgroup.z;
  let last = lastVisible(row);
  if (isDirect(last)) { return; }
  let splits = splitCount(tileCount(last));
  let records = recordStart(row, head, 0u);
  let column = workgroup.y * COLUMNS_AT_ONCE + local % COLUMNS_AT_ONCE;
  let splitOffset = local / COLUMNS_AT_ONCE;
  let hasColumn = splitOffset < SPLITS_AT_ONCE && column < COLUMNS;

  // All that is read is asked for before any of it is used.
  var values = array<vec4<f32>, STEPS>();
  for (var i = 0u; i < STEPS; i++) {
    let split = splitOffset + i * SPLITS_AT_ONCE;
    if (hasColumn && split < splits) { values[i] = partials[records + split * RECORD + column]; }
  }
  for (var s = local; s < splits; s += WORKGROUP) { states[s] = partials[records + s * RECORD + COLUMNS].xy; }
  workgroupBarrier();

  var largest = LOWEST;
  for (var s = 0u; s < splits; s++) { largest = max(largest, states[s].x); }
  if (hasColumn) {
    var sum = vec4(0.0);
    var total = 0.0;
    for (var i = 0u; i < STEPS; i++) {
      let split = splitOffset + i * SPLITS_AT_ONCE;
      if (split >= splits) { break; }
      let weight = exp1(states[split].x - largest);
      sum += weight * values[i];
      total += weight * states[split].y;
    }
    sums[local] = sum;
    if (local % COLUMNS_AT_ONCE == 0u) { totals[splitOffset] = total; }
  }
  workgroupBarrier();

  if (local < COLUMNS_AT_ONCE && column < COLUMNS) {
    var sum = vec4(0.0);
    var total = 0.0;
    for (var i = 0u; i < min(splits, SPLITS_AT_ONCE); i++) {
      sum += sums[i * COLUMNS_AT_ONCE + local];
      total += totals[i];
    }
#if SINKS
    total += sinkWeight(head, largest);
#endif
    output[(row * HEADS + head) * COLUMNS + column] = sum / total;
  }
}
