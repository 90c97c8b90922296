// Prefix sums of one 64-bit integer of every invocation, in two levels: within groups, then over groups. It is
// called in uniform control flow only. Subgroups are not used: their scans have no carry.
#include "sample/integers.wgsl"

// The part of `count` things in order that an invocation does.
struct Share {
  begin: u32,
  end: u32,
}

fn shareOf(count: u32, local: u32) -> Share {
  let size = (count + WORKGROUP - 1u) / WORKGROUP;
  return Share(min(local * size, count), min((local + 1u) * size, count));
}

const GROUP = 16u;

var<workgroup> scanned: array<vec2<u32>, WORKGROUP>;

struct Scan {
  // The sum of this invocation and those before it.
  inclusive: vec2<u32>,
  total: vec2<u32>,
}

fn scan(value: vec2<u32>, local: u32) -> Scan {
  scanned[local] = value;
  workgroupBarrier();
  if (local < WORKGROUP / GROUP) {
    var sum = vec2(0u);
    for (var i = GROUP * local; i < GROUP * (local + 1u); i++) {
      sum = add64(sum, scanned[i]);
      scanned[i] = sum;
    }
  }
  workgroupBarrier();
  var before = vec2(0u);
  var total = vec2(0u);
  for (var group = 0u; group < WORKGROUP / GROUP; group++) {
    if (group == local / GROUP) { before = total; }
    total = add64(total, scanned[GROUP * (group + 1u) - 1u]);
  }
  let result = Scan(add64(before, scanned[local]), total);
  workgroupBarrier();
  return result;
}
