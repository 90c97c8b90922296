// After the product with [Wq; Wk; Wv], over the rows of a pass: rotates q and k by the row's position (RoPE, Su et al. 2021;
// the first ROTARY elements of a head, i with i + ROTARY / 2), writes q out and appends k and v to the cache of the row's
// slot. Without ROPE nothing is rotated. Dispatch (groups of pairs, rows).
#include "common/rows.wgsl"
#include "append/put.wgsl"

@group(0) @binding(0) var<storage, read> qkv: array<f32>; // [R, (HEADS + 2 · KV_HEADS) · HEAD_DIM]
@group(0) @binding(1) var<storage, read_write> query: array<f32>; // [R, HEADS · HEAD_DIM]
@group(0) @binding(2) var<storage, read_write> keys: array<Cell>; // [slot][CONTEXT][KV_HEADS · HEAD_DIM]
@group(0) @binding(3) var<storage, read_write> values: array<Cell>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
#if ROPE
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>; // [CONTEXT][ROTARY / 2] of (cos, sin)
const HALF = ROTARY / 2u;
#else
const HALF = HEAD_DIM / 2u;
#endif

const PAIRS = HEAD_DIM / 2u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let index = workgroup.x * WORKGROUP + local;
  let head = index / PAIRS;
  let r = workgroup.y;
  if (head >= HEADS + 2u * KV_HEADS || r >= rowCount()) { return; }

  // Pairs of the rotated part, then of what follows it.
  let pair = index % PAIRS;
  let isRotary = pair < HALF;
  let first = select(2u * pair, pair, isRotary);
  let second = select(first + 1u, first + HALF, isRotary);

  let row = (r * (HEADS + 2u * KV_HEADS) + head) * HEAD_DIM;
  var a = qkv[row + first];
  var b = qkv[row + second];
  let position = rowPosition(r);
#if ROPE
  if (isRotary && head < HEADS + KV_HEADS) {
    let turn = rope[position * HALF + pair];
    let turned = vec2(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
    a = turned.x;
    b = turned.y;
  }
#endif
  let cell = (rowSlot(r) * CONTEXT + position) * KV_HEADS;
  if (head < HEADS) {
    let at = (r * HEADS + head) * HEAD_DIM;
    query[at + first] = a;
    query[at + second] = b;
  } else if (head < HEADS + KV_HEADS) {
    let at = (cell + head - HEADS) * HEAD_DIM;
    putKey(at + first, a);
    putKey(at + second, b);
  } else {
    let at = (cell + head - HEADS - KV_HEADS) * HEAD_DIM;
    putValue(at + first, a);
    putValue(at + second, b);
  }
}
