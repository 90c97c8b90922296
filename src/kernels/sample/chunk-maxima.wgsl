// The highest key of each CHUNK tokens, the first dispatch of every token choice. Often the only one that reads all
// logits: what follows reads the maxima and a few chunks.
#include "sample/logit-keys.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<vec4<u32>>; // f32 [VOCABULARY], padded with anything
@group(0) @binding(1) var<storage, read> marks: array<u32>;
@group(0) @binding(2) var<storage, read> choice: array<u32>;
@group(0) @binding(3) var<storage, read_write> work: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> maxima: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let keys = historyKeys(workgroup.x * WORKGROUP + local);
  maxima[local] = max(max(keys.x, keys.y), max(keys.z, keys.w));
  workgroupBarrier();
  for (var half = QUADS_PER_CHUNK / 2u; half > 0u; half /= 2u) {
    if (local % QUADS_PER_CHUNK < half) { maxima[local] = max(maxima[local], maxima[local + half]); }
    workgroupBarrier();
  }
  let chunk = workgroup.x * CHUNKS_PER_WORKGROUP + local;
  if (local < CHUNKS_PER_WORKGROUP && chunk < CHUNKS) {
    work[chunk] = scaledKey(maxima[local * QUADS_PER_CHUNK]);
  }
}
