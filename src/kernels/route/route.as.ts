// AssemblyScript. The router of a mixture of experts (Shazeer et al. 2017): which of them a row has chosen, and their weights.

import { exp1 } from "../common/simd.as";

/**
 * Chooses `chosen` of `experts` logits a row: the largest, of equal ones the first. x: [rows] of `experts` f32, rows `stride`
 * bytes apart. y: [rows], `outStride` bytes apart, of the numbers of the chosen in ascending order, as f32, and their weights in
 * this order: exp(x) over the sum of that over all experts or, with `normalize`, over the chosen. A logit that is no number is
 * chosen like the largest one, and makes the weights what it is: numbers of experts are always some.
 */
export function route(
  x: usize, stride: usize, y: usize, outStride: usize, rows: i32, experts: i32, chosen: i32, normalize: i32,
): void {
  for (let r = 0; r < rows; r++) {
    // The least one that is chosen: as often as there are chosen, the next one in the order of choice.
    let least = i32.MAX_VALUE;
    let last = -1;
    let largest: f32 = 0;
    for (let c = 0; c < chosen; c++) {
      let next = i32.MIN_VALUE;
      let at = -1;
      for (let e = 0; e < experts; e++) {
        const key = keyOf(x, e);
        const isLeft = key < least || (key == least && e > last);
        if (isLeft && (at < 0 || key > next)) {
          next = key;
          at = e;
        }
      }
      if (c == 0) largest = load<f32>(x + (<usize>at << 2));
      least = next;
      last = at;
    }
    let sum: f32 = 0;
    for (let e = 0; e < experts; e++) {
      if (normalize == 0 || isChosen(x, e, least, last)) sum += exp1(load<f32>(x + (<usize>e << 2)) - largest);
    }
    // Each number is stored once, when it is final (instruction.ts).
    let c: usize = 0;
    for (let e = 0; e < experts; e++) {
      if (!isChosen(x, e, least, last)) continue;
      store<f32>(y + (c << 2), <f32>e);
      store<f32>(y + ((c + <usize>chosen) << 2), exp1(load<f32>(x + (<usize>e << 2)) - largest) / sum);
      c++;
    }
    x += stride;
    y += outStride;
  }
}

@inline
function isChosen(x: usize, e: i32, least: i32, last: i32): bool {
  const key = keyOf(x, e);
  return key > least || (key == least && e <= last);
}

/** A logit as an integer of the same order, -0 as 0, NaN beyond all others. */
@inline
function keyOf(x: usize, e: i32): i32 {
  const value = load<f32>(x + (<usize>e << 2)) + 0;
  const bits = reinterpret<i32>(value);
  return value != value ? i32.MAX_VALUE : bits ^ ((bits >> 31) & 0x7fffffff);
}
