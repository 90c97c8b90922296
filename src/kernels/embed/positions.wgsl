// output[r] += table[position of r + offset], for the positions of this shard of the table. One workgroup a row.
#include "common/rows.wgsl"

struct Params {
  // First row of the shard, and how many there are.
  first: u32,
  count: u32,
  offset: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>; // [count, STRIDE words]
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
@group(0) @binding(3) var<uniform> params: Params;

#include "embed/table-row.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let r = workgroup.x;
  let row = rowPosition(r) + params.offset - params.first; // wraps below the shard
  if (row >= params.count) { return; }
  let scale = scaleOf(table[scaleAt(row)]);
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    output[r * COLUMNS + c] += numberOf(table[wordAt(row, c)], table[groupAt(row, c)], c) * scale;
  }
}
