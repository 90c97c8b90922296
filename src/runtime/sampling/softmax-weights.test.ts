import { expect, test } from "vitest";
import { MAX_WEIGHT, scaleByFraction, softmaxWeight } from "./softmax-weights.ts";

test("weights are 2^31 · exp(−distance) to a relative 2^-24 and half a unit", () => {
  let worst = 0;
  for (let i = 0; i < 200_000; i++) {
    const distance = Math.fround((i / 200_000) ** 2 * 23);
    const exact = MAX_WEIGHT * Math.exp(-distance);
    const allowed = exact * 2 ** -24 + 0.5 + 2 ** -20;
    worst = Math.max(worst, Math.abs(softmaxWeight(distance) - exact) / allowed);
  }
  expect(worst).toBeLessThanOrEqual(1);
});

test("weights never increase with the distance, in steps of 2^-22 over three halvings", () => {
  let previous = MAX_WEIGHT;
  let violations = 0;
  for (let step = 0; step < 3 * Math.LN2 * 2 ** 22; step++) {
    // The steps are fine enough to meet every table entry, with hundreds of rests each.
    const weight = softmaxWeight(Math.fround(step * 2 ** -22));
    if (weight > previous) {
      violations++;
    }
    previous = weight;
  }
  expect(violations).toBe(0);
});

test("the ends: 2^31 at distance 0, and 0 far out", () => {
  expect(softmaxWeight(0)).toBe(MAX_WEIGHT);
  expect(softmaxWeight(Math.fround(31.9 * Math.LN2))).toBe(1);
  expect(softmaxWeight(22.1875)).toBe(0);
  expect(softmaxWeight(1e30)).toBe(0);
  expect(softmaxWeight(Infinity)).toBe(0);
});

test("scaleByFraction is exact", () => {
  const totals = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 123_456_789_012_345, 2 ** 48, 2 ** 53 - 1];
  const fractions = [0, 1, 2 ** 16, 2 ** 31, 0xdeadbeef, 2 ** 32 - 1];
  for (const total of totals) {
    for (const fraction of fractions) {
      const expected = Number((BigInt(total) * BigInt(fraction)) >> 32n);
      expect(scaleByFraction(total, fraction)).toBe(expected);
    }
  }
});
