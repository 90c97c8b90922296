import { describe, expect, test } from "vitest";
import { runAtOnce } from "../../../base/async/slices.ts";
import { uniform } from "../../sampling/philox.ts";
import { bestCandidates, drawCandidates } from "./candidates.ts";

const pairs = (found: readonly { beam: number; token: number }[]): number[][] =>
  found.map(({ beam, token }) => [beam, token]);

describe("bestCandidates", () => {
  test("best first over all beams; equal ones by beam, then by id; never what is out of the choice", () => {
    const scores = Float32Array.of(-3, -1, -Infinity, /**/ -1, -2, -Infinity);
    expect(runAtOnce(bestCandidates(scores, 3, 3))).toEqual([
      { beam: 0, token: 1, score: -1 },
      { beam: 1, token: 0, score: -1 },
      { beam: 1, token: 1, score: -2 },
    ]);
    expect(pairs(runAtOnce(bestCandidates(scores, 3, 9)))).toEqual([
      [0, 1],
      [1, 0],
      [1, 1],
      [0, 0],
    ]);
  });

  test("equals a sort of all", () => {
    // There are 64 values only, so that many scores are equal.
    const scores = Float32Array.from({ length: 4000 }, (_, i) => -(uniform(3, i, [0, 0, 0]) % 64));
    const sorted = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
    expect(runAtOnce(bestCandidates(scores, 1000, 50)).map(({ beam, token }) => beam * 1000 + token)).toEqual(
      sorted.slice(0, 50),
    );
  });
});

describe("drawCandidates", () => {
  test("40,000 pairs of draws follow sampling without replacement (chi-square)", () => {
    const probabilities = [0.4, 0.25, 0.2, 0.1, 0.05];
    const scores = Float32Array.from(probabilities, (p) => Math.log(p) - 7);
    const trials = 40_000;
    const counts = new Map<string, number>();
    for (let trial = 0; trial < trials; trial++) {
      const drawn = runAtOnce(drawCandidates(scores, 5, 2, (draw) => uniform(11, trial, [0, 0, 0], draw)));
      const key = drawn.map(({ token }) => token).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    let chiSquare = 0;
    for (const [i, first] of probabilities.entries()) {
      for (const [j, second] of probabilities.entries()) {
        if (i === j) {
          continue;
        }
        const expected = (trials * first * second) / (1 - first);
        chiSquare += ((counts.get(`${i},${j}`) ?? 0) - expected) ** 2 / expected;
      }
    }
    expect(counts.size).toBe(20);
    // The bounds are the 0.1 % and 99.9 % quantiles for 19 degrees of freedom.
    expect(chiSquare).toBeGreaterThan(5.407);
    expect(chiSquare).toBeLessThan(43.82);
  });

  test("what weighs nothing comes last, best first, and what is out of the choice never", () => {
    const scores = Float32Array.of(-90, -1, -Infinity, -80, -1.5, -Infinity);
    const found = runAtOnce(drawCandidates(scores, 3, 6, (draw) => uniform(1, 0, [0, 0, 0], draw)));
    expect(new Set(found.slice(0, 2).map(({ score }) => score))).toEqual(new Set([-1, -1.5]));
    expect(pairs(found.slice(2))).toEqual([
      [1, 0],
      [0, 0],
    ]);
  });
});

test.each([1, 3, 40])("a step is a beam: %d beams", (beams) => {
  const scores = Float32Array.from({ length: beams * 7 }, (_, i) => -1 - (i % 5));
  expect([...bestCandidates(scores, 7, 4)]).toHaveLength(beams);
  // The highest score, the sums, the draws, and no rest, or the rest.
  const draws = (count: number) =>
    [...drawCandidates(scores, 7, count, (draw) => Math.imul(draw, 0x9e3779b1) >>> 0)].length;
  expect(draws(4)).toBe(2 * beams + 4);
  expect(draws(7 * beams + 1)).toBe(2 * beams + 7 * beams + beams);
});

test("the draws of one token differ, and the first is the one of plain sampling", () => {
  const draws = Array.from({ length: 2 ** 13 }, (_, draw) => uniform(2 ** 53 - 1, 5, [1, 2, 3], draw));
  expect(new Set(draws).size).toBeGreaterThan(2 ** 13 - 5); // of 2^32 values: 8 pairs in a million are equal
  expect(draws[0]).toBe(uniform(2 ** 53 - 1, 5, [1, 2, 3]));
  expect(() => uniform(0, 0, [0, 0, 0], 2 ** 13)).toThrow("beyond the last");
});
