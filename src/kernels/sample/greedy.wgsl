// Takes the most likely token, of equal ones the lowest. One workgroup, after chunk-maxima.
#include "sample/finish.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> choice: array<u32>;
@group(0) @binding(3) var<storage, read> work: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<u32>; // a row: token, status, position, bits of the highest logit
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  if (broadcast(choice[STATUS], local) != OK) { return; }
  let highest = highestKey(local);
  let token = mostLikely(highest, local);
  if (local == 0u) { finish(token, statusOf(highest), highest); }
}
