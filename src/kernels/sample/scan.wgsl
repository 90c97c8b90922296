// Inclusive prefix sums of one 64-bit integer of every invocation (Hillis & Steele 1986). Uniform control flow only;
// WORKGROUP is a power of two. Without subgroups: their scans have no carry, and lists are short here.
#include "sample/integers.wgsl"

// What an invocation does of `count` things in order.
struct Share {
  begin: u32,
  end: u32,
}

fn shareOf(count: u32, local: u32) -> Share {
  let size = (count + WORKGROUP - 1u) / WORKGROUP;
  return Share(min(local * size, count), min((local + 1u) * size, count));
}

var<workgroup> scanned: array<vec2<u32>, 2u * WORKGROUP>;

struct Scan {
  // Of this invocation and those before it.
  inclusive: vec2<u32>,
  total: vec2<u32>,
}

fn scan(value: vec2<u32>, local: u32) -> Scan {
  var half = 0u;
  scanned[local] = value;
  workgroupBarrier();
  for (var offset = 1u; offset < WORKGROUP; offset *= 2u) {
    var sum = scanned[half + local];
    if (local >= offset) { sum = add64(sum, scanned[half + local - offset]); }
    half = WORKGROUP - half;
    scanned[half + local] = sum;
    workgroupBarrier();
  }
  let result = Scan(scanned[half + local], scanned[half + WORKGROUP - 1u]);
  workgroupBarrier();
  return result;
}
