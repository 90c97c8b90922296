// The sum of one f32 of every invocation of a workgroup, for all of them. WORKGROUP is a power of two.
// Uniform control flow only; ends with a barrier, so that it can be called again.
#if SUBGROUPS
enable subgroups;
requires subgroup_id;
#endif

var<workgroup> partialSums: array<f32, WORKGROUP>;

#if SUBGROUPS
fn workgroupSum(value: f32, local: u32, subgroup: u32, subgroups: u32) -> f32 {
  let own = subgroupAdd(value);
  if (subgroups == 1u) { return own; }
  // Every invocation of a subgroup has the same sum; which one writes it does not matter.
  partialSums[subgroup] = own;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < subgroups; i++) { sum += partialSums[i]; }
  workgroupBarrier();
  return sum;
}
#else
fn workgroupSum(value: f32, local: u32, subgroup: u32, subgroups: u32) -> f32 {
  partialSums[local] = value;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (local < half) { partialSums[local] += partialSums[local + half]; }
    workgroupBarrier();
  }
  let sum = partialSums[0];
  workgroupBarrier();
  return sum;
}
#endif
