// Draws from all tokens (that min-p leaves): the inverse of the cumulative distribution, first over chunks, then within
// one. One workgroup, after weigh-chunks.
#include "sample/finish.wgsl"
#include "sample/philox.wgsl"
#include "sample/scan.wgsl"
#include "sample/softmax-weight.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> choice: array<u32>;
@group(0) @binding(3) var<storage, read> work: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<u32>; // a row: token, status, position, bits of the highest logit
@group(0) @binding(6) var<storage, read> powers: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

// The chunk at which the sum exceeds the goal, and the goal within it.
var<workgroup> crossedChunk: vec3<u32>;
var<workgroup> found: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  if (broadcast(choice[STATUS], local) != OK) { return; }
  let highest = highestKey(local);
  if (statusOf(highest) != OK) {
    let token = mostLikely(highest, local);
    if (local == 0u) { finish(token, statusOf(highest), highest); }
    return;
  }

  let share = shareOf(CHUNKS, local);
  var own = vec2(0u);
  for (var chunk = share.begin; chunk < share.end; chunk++) { own = add64(own, chunkSum(chunk)); }
  let chunks = scan(own, local);
  let goal = scaleByFraction(chunks.total, drawnWord());
  var before = subtract64(chunks.inclusive, own);
  if (!isLess64(goal, before) && isLess64(goal, chunks.inclusive)) {
    for (var chunk = share.begin; chunk < share.end; chunk++) {
      let after = add64(before, chunkSum(chunk));
      if (isLess64(goal, after)) {
        crossedChunk = vec3(chunk, subtract64(goal, before));
        break;
      }
      before = after;
    }
  }
  let crossed = workgroupUniformLoad(&crossedChunk);

  let quad = crossed.x * QUADS_PER_CHUNK + local;
  var quadOwn = QuadWeights();
  if (local < QUADS_PER_CHUNK) { quadOwn = quadWeights(quad, highest); }
  let after = scan(quadOwn.sum, local).inclusive;
  var sum = subtract64(after, quadOwn.sum);
  if (!isLess64(crossed.yz, sum) && isLess64(crossed.yz, after)) {
    for (var i = 0u; i < 4u; i++) {
      sum = add64(sum, vec2(quadOwn.weights[i], 0u));
      if (isLess64(crossed.yz, sum)) {
        found = quad * 4u + i;
        break;
      }
    }
  }
  let token = workgroupUniformLoad(&found);
  if (local == 0u) { finish(token, OK, highest); }
}
