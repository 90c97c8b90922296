/** The sample of changes that `npm run test:mutation -- ROOM --sample N` tries. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { chooseSample, wilsonInterval } from "../scripts/mutation-sample.ts";

interface Change {
  readonly fileName: string;
  readonly location: { start: { line: number; column: number }; end: { line: number; column: number } };
  readonly replacement: string;
}

/** 1,000 changes, of which two at a time have one place. */
function changes(root: string): Change[] {
  return Array.from({ length: 1000 }, (_, i) => ({
    fileName: join(root, "src", "a.ts"),
    location: { start: { line: i >> 1, column: 2 }, end: { line: i >> 1, column: 9 } },
    replacement: i % 2 === 0 ? "true" : "false",
  }));
}

function drawn(seed: number, count: number, root = "/here", all = changes(root)): string[] {
  return chooseSample(all, { count, seed }, root).map(
    ({ location, replacement }) => `${location.start.line} ${replacement}`,
  );
}

test("is the same for the same seed, wherever the project lies and in whichever order its changes come", () => {
  const sample = drawn(1, 50);
  expect(new Set(sample).size).toBe(50);
  expect(drawn(1, 50, "/there")).toEqual(sample);
  expect(drawn(1, 50, "/here", changes("/here").reverse())).toEqual(sample);
  expect(drawn(2, 50)).not.toEqual(sample);
  expect(drawn(1, 20)).toEqual(sample.slice(0, 20));
});

test("has every change as often as any other", () => {
  const times = new Map<string, number>();
  for (let seed = 0; seed < 40; seed++) {
    for (const change of drawn(seed, 100)) {
      times.set(change, (times.get(change) ?? 0) + 1);
    }
  }
  // Each is drawn by a tenth of the seeds: of 40 more than 15, or in half of the changes none, is out of the question.
  expect(Math.max(...times.values())).toBeLessThanOrEqual(15);
  expect(times.size).toBeGreaterThan(950);
});

test("of fewer than are wanted is all of them", () => {
  expect(drawn(1, 2000)).toHaveLength(1000);
});

// Values of the formula by another hand, in Python.
test.each([
  [9, 10, 0.5958, 0.9821],
  [0, 10, 0, 0.2775],
  [10, 10, 0.7225, 1],
  [54, 60, 0.7985, 0.9534],
])("%d of %d: %f to %f", (hits, tries, low, high) => {
  const interval = wilsonInterval(hits, tries);
  expect(interval[0]).toBeCloseTo(low, 4);
  expect(interval[1]).toBeCloseTo(high, 4);
});

test("nothing tried says nothing", () => {
  expect(wilsonInterval(0, 0)).toEqual([0, 1]);
});
