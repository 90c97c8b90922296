// Merges the splits of decode.wgsl: their sums, each scaled to the largest score of all, over the sum of weights.
// Workgroups: (HEADS, R).
#include "common/rows.wgsl"
#include "common/exp.wgsl"
#include "attention/splits.wgsl"

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>; // [R][HEADS][COLUMNS]
@group(0) @binding(2) var<storage, read> rows: array<u32>;

// An invocation has one column of every SPLITS_AT_ONCE-th split.
const SPLITS_AT_ONCE = WORKGROUP / COLUMNS;

var<workgroup> largests: array<f32, MAX_SPLITS>;
var<workgroup> sums: array<vec4<f32>, WORKGROUP>;
var<workgroup> totals: array<f32, SPLITS_AT_ONCE>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let head = workgroup.x;
  let row = workgroup.y;
  let splits = splitCount(tileCount(lastVisible(row)));
  let records = recordStart(row, head, 0u);
  for (var s = local; s < splits; s += WORKGROUP) { largests[s] = partials[records + s * RECORD + COLUMNS].x; }
  workgroupBarrier();
  var largest = LOWEST;
  for (var s = 0u; s < splits; s++) { largest = max(largest, largests[s]); }

  let column = local % COLUMNS;
  let splitOffset = local / COLUMNS;
  if (splitOffset < SPLITS_AT_ONCE) {
    var sum = vec4(0.0);
    var total = 0.0;
    for (var s = splitOffset; s < splits; s += SPLITS_AT_ONCE) {
      let record = records + s * RECORD;
      let weight = exp1(largests[s] - largest);
      sum += weight * partials[record + column];
      total += weight * partials[record + COLUMNS].y;
    }
    sums[local] = sum;
    if (column == 0u) { totals[splitOffset] = total; }
  }
  workgroupBarrier();
  if (local < COLUMNS) {
    var sum = vec4(0.0);
    var total = 0.0;
    for (var i = 0u; i < min(splits, SPLITS_AT_ONCE); i++) {
      sum += sums[i * COLUMNS + local];
      total += totals[i];
    }
    output[(row * HEADS + head) * COLUMNS + local] = sum / total;
  }
}
