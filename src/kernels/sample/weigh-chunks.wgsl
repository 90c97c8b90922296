// The sum of the softmax weights of each CHUNK tokens, after chunk-maxima: where no top-k limits the choice.
#include "sample/highest.wgsl"
#include "sample/softmax-weight.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> marks: array<u32>;
@group(0) @binding(2) var<storage, read> choice: array<u32>;
@group(0) @binding(3) var<storage, read_write> work: array<u32>;
@group(0) @binding(4) var<storage, read> powers: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> sums: array<vec2<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let weights = quadWeights(workgroup.x * WORKGROUP + local, highestKey(local));
  sums[local] = weights.sum;
  workgroupBarrier();
  for (var half = QUADS_PER_CHUNK / 2u; half > 0u; half /= 2u) {
    if (local % QUADS_PER_CHUNK < half) { sums[local] = add64(sums[local], sums[local + half]); }
    workgroupBarrier();
  }
  let chunk = workgroup.x * CHUNKS_PER_WORKGROUP + local;
  if (local < CHUNKS_PER_WORKGROUP && chunk < CHUNKS) {
    let sum = sums[local * QUADS_PER_CHUNK];
    work[SUMS + 2u * chunk] = sum.x;
    work[SUMS + 2u * chunk + 1u] = sum.y;
  }
}
