/** How far a prefill mode that is not exact is from the exact one. */
import { expect } from "vitest";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { passOf, type GoldenModel } from "./golden.ts";

/** The bound of the logits' mean square error over their mean square. Measured: 1.4e-8, with attention 6e-8. */
const MOST_NMSE = 1e-6;
/**
 * The least share of positions whose likeliest token is the same when the text so far is given (teacher forcing).
 * Measured: all of them.
 */
const LEAST_TOP_1 = 0.99;

/** Compares the logits of a golden prompt and its answer, and that they differ at all. */
export async function checkPrefillMode(
  golden: GoldenModel,
  exactMode: WebGpuExecutable,
  mode: WebGpuExecutable,
): Promise<void> {
  const { vocabSize } = golden.program;
  const { input_ids, greedy } = golden.prompts[0];
  const tokens = [...input_ids, ...greedy];
  expect(tokens.length).toBeGreaterThan(16); // a block: fewer rows are always exact
  const logitsOf = async (executable: WebGpuExecutable): Promise<Float32Array> =>
    (await executable.run({ ...passOf(tokens), logitRows: Int32Array.from(tokens.keys()) })).logits;
  const exact = await logitsOf(exactMode);
  const logits = await logitsOf(mode);
  expect(logits).not.toEqual(exact);
  let [error, square, same] = [0, 0, 0];
  for (let p = 0; p < tokens.length; p++) {
    const [a, b] = [exact, logits].map((all) => all.subarray(p * vocabSize, (p + 1) * vocabSize));
    a.forEach((value, i) => {
      error += (b[i] - value) ** 2;
      square += value ** 2;
    });
    if (a.indexOf(Math.max(...a)) === b.indexOf(Math.max(...b))) {
      same++;
    }
  }
  expect(error / square).toBeLessThan(MOST_NMSE);
  expect(same / tokens.length).toBeGreaterThanOrEqual(LEAST_TOP_1);
}
