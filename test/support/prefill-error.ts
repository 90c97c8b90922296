/** How far a prefill mode that is not exact is from the exact one. */
import { expect } from "vitest";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { passOf, type GoldenModel } from "./golden.ts";

/**
 * The two modes' logits for a golden prompt and its answer: mean square error over mean square, and the share of positions
 * whose likeliest token is the same when the text so far is given (teacher forcing). They differ, or this is a failure.
 */
export async function prefillError(
  golden: GoldenModel,
  exactMode: WebGpuExecutable,
  mode: WebGpuExecutable,
): Promise<{ nmse: number; top1: number }> {
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
  return { nmse: error / square, top1: same / tokens.length };
}
