// The highest of the chunk maxima, for all invocations of a workgroup. To be called in uniform control flow only.
#include "sample/logit-keys.wgsl"

var<workgroup> extreme: atomic<u32>;
var<workgroup> broadcasted: u32;

// Gives the value of invocation 0 to all.
fn broadcast(value: u32, local: u32) -> u32 {
  if (local == 0u) { broadcasted = value; }
  return workgroupUniformLoad(&broadcasted);
}

fn workgroupMax(value: u32, local: u32) -> u32 {
  if (local == 0u) { atomicStore(&extreme, 0u); }
  workgroupBarrier();
  atomicMax(&extreme, value);
  workgroupBarrier();
  return broadcast(atomicLoad(&extreme), local);
}

fn workgroupMin(value: u32, local: u32) -> u32 { return ~workgroupMax(~value, local); }

fn highestKey(local: u32) -> u32 {
  var highest = NO_KEY;
  for (var chunk = local; chunk < CHUNKS; chunk += WORKGROUP) { highest = max(highest, work[chunk]); }
  return workgroupMax(highest, local);
}
