// Rotary embedding (Su et al. 2021) of HEADS heads in place, by each row's position: i turns with i + HALF, among the
// first 2 · HALF elements of a head. One invocation a pair.
#include "common/rows.wgsl"

@group(0) @binding(0) var<storage, read_write> buffer: array<f32>; // [R, HEADS · HEAD_DIM]
@group(0) @binding(1) var<storage, read> rope: array<vec2<f32>>; // [context][HALF] of (cos, sin)
@group(0) @binding(2) var<storage, read> rows: array<u32>;

const HALF = ROTARY / 2u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let pair = workgroup.x * WORKGROUP + local;
  let r = workgroup.y;
  if (pair >= HEADS * HALF || r >= rowCount()) { return; }
  let i = pair % HALF;
  let at = (r * HEADS + pair / HALF) * HEAD_DIM + i;
  let turn = rope[rowPosition(r) * HALF + i];
  let a = buffer[at];
  let b = buffer[at + HALF];
  buffer[at] = a * turn.x - b * turn.y;
  buffer[at + HALF] = b * turn.x + a * turn.y;
}
