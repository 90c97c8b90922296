// output[r] = table[token of r], for the tokens of this shard of the table. One workgroup a row.
#include "common/rows.wgsl"

struct Params {
  // First token of the shard, and how many there are.
  first: u32,
  count: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>; // [count, STRIDE words]
@group(0) @binding(2) var<storage, read_write> output: array<f32>; // [R, COLUMNS]
@group(0) @binding(3) var<uniform> params: Params;

#include "common/widen.wgsl"

fn weightAt(row: u32, column: u32) -> f32 {
#if FORMAT == "f32"
  return bitcast<f32>(table[row * STRIDE + column]);
#else
  let word = table[row * STRIDE + column / 2u];
  let half = select(word & 0xffffu, word >> 16u, column % 2u == 1u);
#if FORMAT == "bf16"
  return bitcast<f32>(half << 16u);
#else
  return widenHalves(vec4(half)).x;
#endif
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let r = workgroup.x;
  let row = rowToken(r) - params.first; // wraps below the shard
  if (row >= params.count) { return; }
  for (var c = local; c < COLUMNS; c += WORKGROUP) {
    output[r * COLUMNS + c] = weightAt(row, c);
  }
}
