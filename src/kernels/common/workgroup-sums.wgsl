// SUMS sums over all invocations of a workgroup at once, with two barriers in all. Each invocation calls addUp for every
// sum, then finishSums; then finishedSum gives any of them to any invocation. WORKGROUP is a power of two.
#if SUBGROUPS
enable subgroups;
requires subgroup_id;

// The smallest subgroups have 4 invocations.
var<workgroup> partialSums: array<f32, SUMS * (WORKGROUP / 4u)>;
var<workgroup> wholeSums: array<f32, SUMS>;

fn addUp(sum: u32, value: f32, local: u32, subgroup: u32, lane: u32, subgroups: u32) {
  let own = subgroupAdd(value);
  if (lane == 0u) { partialSums[sum * subgroups + subgroup] = own; }
}

fn finishSums(local: u32, subgroups: u32) {
  workgroupBarrier();
  for (var sum = local; sum < SUMS; sum += WORKGROUP) {
    var total = 0.0;
    for (var i = 0u; i < subgroups; i++) { total += partialSums[sum * subgroups + i]; }
    wholeSums[sum] = total;
  }
  workgroupBarrier();
}

fn finishedSum(sum: u32) -> f32 { return wholeSums[sum]; }
#else
var<workgroup> partialSums: array<f32, SUMS * WORKGROUP>;

fn addUp(sum: u32, value: f32, local: u32) { partialSums[sum * WORKGROUP + local] = value; }

fn finishSums(local: u32) {
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    // All invocations take part, whatever sum their value belongs to.
    for (var i = local; i < SUMS * half; i += WORKGROUP) {
      let at = (i / half) * WORKGROUP + i % half;
      partialSums[at] += partialSums[at + half];
    }
    workgroupBarrier();
  }
}

fn finishedSum(sum: u32) -> f32 { return partialSums[sum * WORKGROUP]; }
#endif
