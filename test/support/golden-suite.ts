/** What is asked of a golden model on the CPU device in one kernel build; the tests say which models and builds. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { KernelBuild } from "../../src/kernels/wasm-module.ts";
import type { WasmExecutable } from "../../src/runtime/wasm/executable.ts";
import {
  expectActivations,
  expectGreedy,
  expectLastLogits,
  expectSameBits,
  openExactGolden,
  type ExactGolden,
} from "./accuracy.ts";
import { encode, loadGolden, passOf, prefill } from "./golden.ts";
import { randomSource } from "./numbers.ts";

export { BASELINE, GOLDENS, OTHER_SETTINGS, QUANTIZED, RELATIVES } from "./golden-lists.ts";

/**
 * Declares the tests: accuracy, greedy tokens in several cuts of the prompt, and the same bits whatever the threads.
 *
 * @param threadCounts numbers of threads, at least two
 * @param prompts "in turn": each prompt has one of the numbers of threads, which the same bits make enough; "everywhere": the last
 *   logits and greedy tokens of each with every number
 */
export function describeGolden(
  name: string,
  build: KernelBuild,
  threadCounts: readonly number[],
  prompts: "in turn" | "everywhere" = "in turn",
): void {
  describe(`${name}, ${build}`, () => {
    let golden: ExactGolden;
    let executables: WasmExecutable[];
    beforeAll(async () => {
      golden = await openExactGolden(name);
      executables = await Promise.all(
        threadCounts.map((threads) => loadGolden(golden, { threads, kernelBuild: build })),
      );
    });
    afterAll(async () => {
      await Promise.all(executables.map((executable) => executable.dispose()));
    });

    /** Those that a prompt runs on. */
    const executablesOf = (prompt: number, form = 0): WasmExecutable[] =>
      prompts === "everywhere" ? executables : [executables[(prompt + form) % threadCounts.length]];

    test("every layer and all logits of a prompt", async () => {
      for (const executable of executables) {
        await expectActivations(executable, golden);
      }
    });

    test("last logits of every prompt", async () => {
      for (const prompt of golden.prompts.keys()) {
        for (const executable of executablesOf(prompt)) {
          await expectLastLogits(executable, golden, { prompt });
        }
      }
    });

    test.each(name === "smollm3" ? [256, 16, 5, 1] : [256, 5])(
      "32 greedy tokens of every prompt, prefilled in passes of %i",
      async (size) => {
        for (const prompt of golden.prompts.keys()) {
          // Another number of threads for another cut, so that each has prompts in one pass and in several.
          for (const executable of executablesOf(prompt, size)) {
            await expectGreedy(executable, golden, { prompt, size });
          }
        }
      },
    );

    test(`the same bits for ${threadCounts.join(" and ")} threads, near and far`, async () => {
      const random = randomSource(9);
      const { vocabSize } = golden.program;
      const tokens = Array.from({ length: 230 }, () => Math.floor(random() * vocabSize));
      const all: Float32Array[][] = [];
      for (const executable of executables) {
        const logits: Float32Array[] = [];
        const { sourceLength } = await encode(executable, golden.prompts[2]);
        for (const [length, size] of [
          [1, 1],
          [40, 256], // prefilled in one pass, by tiles of rows
          [40, 4], // split over blocks
          [63, 3],
          [64, 16],
          [65, 256],
          [150, 256],
          [229, 100],
        ]) {
          if (length >= executable.contextLength) {
            continue;
          }
          const prompt = tokens.slice(0, length);
          logits.push(await prefill(executable, prompt, { size, sourceLength }));
          // The row after the prompt runs by itself, as a decode does.
          const pass = passOf([tokens[length]], length, 0, sourceLength);
          logits.push((await executable.run({ ...pass, logitRows: Int32Array.of(0) })).logits);
        }
        all.push(logits);
      }
      for (const other of all.slice(1)) {
        for (const [i, logits] of other.entries()) {
          expectSameBits(logits, all[0][i], `result ${i}`);
        }
      }
    });
  });
}
