import { describe, expect, test } from "vitest";
import { multiplyHigh, philox4x32, uniform } from "./philox.ts";

describe("philox4x32", () => {
  // The cases are kat_vectors of Random123: counter, key, result.
  test.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
  ] as const)("known answer for counter %j, key %j", (counterWords, [key0, key1], expected) => {
    const counter = Uint32Array.from(counterWords);
    philox4x32(counter, key0, key1);
    expect([...counter].map((word) => word.toString(16).padStart(8, "0")).join(" ")).toBe(expected);
  });
});

test("multiplyHigh equals the 64-bit product's upper half", () => {
  const edges = [0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffeffff, 0xffffffff];
  let state = 1;
  const random = Array.from({ length: 200 }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0));
  for (const a of [...edges, ...random]) {
    for (const b of [...edges, ...random]) {
      expect(multiplyHigh(a, b)).toBe(Number((BigInt(a) * BigInt(b)) >> 32n));
    }
  }
});

describe("uniform", () => {
  test("is word 0 for key (seed low, seed high) and counter (position, sequence)", () => {
    const seed = 0x1abcde * 2 ** 32 + 0xf0000001;
    const counter = Uint32Array.of(77, 1, 2, 3);
    philox4x32(counter, 0xf0000001, 0x1abcde);
    expect(uniform(seed, 77, [1, 2, 3])).toBe(counter[0]);
  });

  test("depends on every argument and on nothing else", () => {
    const draws = [
      uniform(5, 9, [0, 0, 0]),
      uniform(6, 9, [0, 0, 0]),
      uniform(5 + 2 ** 32, 9, [0, 0, 0]),
      uniform(5 + 2 ** 52, 9, [0, 0, 0]),
      uniform(5, 10, [0, 0, 0]),
      uniform(5, 9, [1, 0, 0]),
      uniform(5, 9, [0, 1, 0]),
      uniform(5, 9, [0, 0, 1]),
    ];
    expect(new Set(draws).size).toBe(draws.length);
    expect(uniform(5, 9, [0, 0, 0])).toBe(draws[0]);
  });
});
