// Puts every row's key and value into the cache at its slot and position. One invocation an element.
#include "common/rows.wgsl"
#include "append/put.wgsl"

@group(0) @binding(0) var<storage, read> key: array<f32>; // [R, COLUMNS]
@group(0) @binding(1) var<storage, read> value: array<f32>; // [R, COLUMNS]
@group(0) @binding(2) var<storage, read_write> keys: array<Cell>; // [slot][CONTEXT][COLUMNS]
@group(0) @binding(3) var<storage, read_write> values: array<Cell>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let c = workgroup.x * WORKGROUP + local;
  let r = workgroup.y;
  if (c >= COLUMNS || r >= rowCount()) { return; }
  let cell = (rowSlot(r) * CONTEXT + rowPosition(r)) * COLUMNS + c;
  putKey(cell, key[r * COLUMNS + c]);
  putValue(cell, value[r * COLUMNS + c]);
}
