// The router of a mixture of experts (Shazeer et al. 2017): the CHOSEN experts of a row with the largest of its EXPERTS logits, of
// equal ones the first, and their weights: exp(x) over the sum of that over all experts or, with NORMALIZE, over the chosen.
// A workgroup a row; logits are compared as integers, so that a NaN, which no comparison orders, still chooses experts that
// there are.
#include "common/exp.wgsl"

@group(0) @binding(0) var<storage, read> x: array<u32>; // [R, EXPERTS], the bits of f32
@group(0) @binding(1) var<storage, read_write> output: array<f32>; // [R, 2 CHOSEN]: experts ascending, then weights

var<workgroup> leastKey: i32;
var<workgroup> lastExpert: u32;
var<workgroup> largest: f32;
var<workgroup> partialSums: array<f32, WORKGROUP>;

// A logit as an integer of the same order, -0 as 0, NaN beyond all others.
fn keyOf(bits: u32) -> i32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0x7fffffff; }
  let zeroed = select(bits, 0u, bits == 0x80000000u);
  return bitcast<i32>(zeroed ^ select(0u, 0x7fffffffu, (zeroed & 0x80000000u) != 0u));
}

fn isChosen(key: i32, expert: u32) -> bool {
  return key > leastKey || (key == leastKey && expert <= lastExpert);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.x * EXPERTS;
  for (var e = local; e < EXPERTS; e += WORKGROUP) {
    let key = keyOf(x[row + e]);
    var before = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      let otherKey = keyOf(x[row + other]);
      if (otherKey > key || (otherKey == key && other < e)) { before++; }
    }
    if (before == 0u) { largest = bitcast<f32>(x[row + e]); }
    if (before == CHOSEN - 1u) {
      leastKey = key;
      lastExpert = e;
    }
  }
  workgroupBarrier();

  var sum = 0.0;
  for (var e = local; e < EXPERTS; e += WORKGROUP) {
#if NORMALIZE
    if (!isChosen(keyOf(x[row + e]), e)) { continue; }
#endif
    sum += exp1(bitcast<f32>(x[row + e]) - largest);
  }
  partialSums[local] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < WORKGROUP; i++) { total += partialSums[i]; }

  for (var e = local; e < EXPERTS; e += WORKGROUP) {
    if (!isChosen(keyOf(x[row + e]), e)) { continue; }
    var at = workgroup.x * 2u * CHOSEN;
    for (var other = 0u; other < e; other++) {
      if (isChosen(keyOf(x[row + other]), other)) { at++; }
    }
    output[at] = f32(e);
    output[at + CHOSEN] = exp1(bitcast<f32>(x[row + e]) - largest) / total;
  }
}
