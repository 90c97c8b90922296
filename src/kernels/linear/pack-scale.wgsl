// The scale of a row that a workgroup packs as f16.
#include "common/half-scale.wgsl"

const WORKGROUP = 256u;

var<workgroup> largest: atomic<u32>;

// The exponent of the row's scale, from the bits of the largest number of each invocation.
fn largestExponent(own: u32, local: u32) -> u32 {
  if (local == 0u) { atomicStore(&largest, 0u); }
  workgroupBarrier();
  atomicMax(&largest, own);
  workgroupBarrier();
  return scaleExponent(atomicLoad(&largest));
}
