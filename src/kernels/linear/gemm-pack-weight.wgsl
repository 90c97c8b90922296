// A weight as gemm-pack.wgsl packs x, in one term: bf16 and f16 numbers stay what they are, unless they are 2^-29 of the
// row's largest or less; numbers of more bits are rounded. A workgroup a row.
#include "linear/weight-quad.wgsl"
#include "linear/pack-scale.wgsl"

struct Params {
  // Number of rows of the shard.
  count: u32,
}

@group(0) @binding(1) var<storage, read_write> packed: array<vec2<u32>>; // [count, STRIDE / 2], as gemm-pack.wgsl has it
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = workgroup.x + workgroup.y * workgroups.x;
  if (row >= params.count) { return; }
  var own = 0u;
  for (var quad = local; quad < WEIGHT_QUADS; quad += WORKGROUP) {
    let values = weightQuad(row, quad);
    own = max(own, max(max(magnitudeBits(values.x), magnitudeBits(values.y)), max(magnitudeBits(values.z), magnitudeBits(values.w))));
  }
  let exponent = largestExponent(own, local);
  let factor = factorOf(exponent);
  for (var quad = local; quad < TERM_WORDS / 2u; quad += WORKGROUP) {
    let values = weightQuad(row, quad) * factor;
    packed[row * STRIDE / 2u + quad] = vec2(pack2x16float(values.xy), pack2x16float(values.zw));
  }
  if (local < 2u) {
    packed[row * STRIDE / 2u + TERM_WORDS / 2u + local] = vec2(select(0u, scaleBits(exponent), local == 0u), 0u);
  }
}
