// output[r] = table[token of r] · scale, for the tokens of this shard of the table; with POSITIONS the row of the table of
// learned positions is added. One workgroup a row.
#include "common/rows.wgsl"

struct Params {
  // First token of the shard, and how many there are.
  first: u32,
  count: u32,
  scale: f32,
  // Number that is added to a row's position to find its row of `positions`.
  offset: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>; // [count, STRIDE words]
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
#if POSITIONS
@group(0) @binding(3) var<storage, read> positions: array<u32>; // [positions, STRIDE words]
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

#include "embed/table-row.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let r = workgroup.x;
  let row = rowToken(r) - params.first; // wraps below the shard
  if (row >= params.count) { return; }
  let scale = scaleOf(table[scaleAt(row)]);
#if POSITIONS
  let learned = rowPosition(r) + params.offset;
  let learnedScale = scaleOf(positions[scaleAt(learned)]);
#endif
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    var value = numberOf(table[wordAt(row, c)], table[groupAt(row, c)], c) * scale * params.scale;
#if POSITIONS
    value += numberOf(positions[wordAt(learned, c)], positions[groupAt(learned, c)], c) * learnedScale;
#endif
    output[r * COLUMNS + c] = value;
  }
}
