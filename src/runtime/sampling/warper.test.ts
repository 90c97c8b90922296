import { expect, test } from "vitest";
import { resolveGenerateOptions } from "../generation/options.ts";
import type { ResolvedSampling } from "./options.ts";
import { Warper } from "./warper.ts";

/** Log-probabilities after the filters, as probabilities would be written. */
function kept(options: Partial<ResolvedSampling>, least: number, probabilities: readonly number[]): number[] {
  const { sampling } = resolveGenerateOptions({ doSample: true, topK: 0 });
  const scores = Float32Array.from(probabilities, Math.log);
  new Warper({ ...sampling, ...options }, probabilities.length, least).apply(scores);
  return [...scores.keys()].filter((token) => scores[token] > -Infinity);
}

const probabilities = [0.02, 0.5, 0.08, 0.3, 0.1];

test("each filter as in sampling, where it leaves enough", () => {
  expect(kept({ topK: 3 }, 2, probabilities)).toEqual([1, 3, 4]);
  expect(kept({ topP: 0.85 }, 2, probabilities)).toEqual([1, 3, 4]);
  expect(kept({ minP: 0.5 }, 2, probabilities)).toEqual([1, 3]);
});

test("no filter leaves fewer than it must", () => {
  expect(kept({ topK: 1 }, 3, probabilities)).toEqual([1, 3, 4]);
  expect(kept({ topP: 0.1 }, 3, probabilities)).toEqual([1, 3, 4]);
  expect(kept({ minP: 1 }, 3, probabilities)).toEqual([1, 3, 4]);
  expect(kept({ topK: 1, topP: 0.1, minP: 1 }, 2, [0, 1, 0])).toEqual([1]);
});

test("top-p: a sum that only reaches what may be left out leaves it out", () => {
  const { sampling } = resolveGenerateOptions({ doSample: true, topK: 0, topP: 1 - 2 ** -20 });
  // The first token's probability is 2^-20 of the second's, to f32's last bit.
  const scores = Float32Array.of(-13.862943649291992, 0);
  new Warper(sampling, 2, 1).apply(scores);
  expect([...scores]).toEqual([-Infinity, 0]);
});

test("scores are scaled by the temperature and not normalised again", () => {
  const { sampling } = resolveGenerateOptions({ doSample: true, topK: 1, temperature: 0.5 });
  const scores = Float32Array.of(-1, -2, -3);
  new Warper(sampling, 3, 2).apply(scores);
  expect([...scores]).toEqual([-2, -4, -Infinity]);
});
