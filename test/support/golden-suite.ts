/** What is asked of a golden model on the CPU device in one kernel build; the tests say which models and builds. */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { QuantizedFormat } from "../../src/kernels/format.ts";
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

/**
 * SmolLM3 in its formats, and the families whose Programs differ in kind. RELATIVES are families that are made of the same ops;
 * of those every change sees the tokens, and the long tests the rest.
 */
export const GOLDENS: readonly string[] = [
  "smollm3",
  "smollm3-bf16",
  "smollm3-f16",
  "llama",
  "qwen3",
  "gemma3_text",
  "gpt2",
  "gpt_neox",
  "codegen",
  "bart",
];

/** Families that differ from those of GOLDENS in factors, biases, windows or their configuration alone. */
export const RELATIVES: readonly string[] = [
  "smollm3-sharded",
  "smollm3-yarn",
  "phi3",
  "cohere2",
  "gpt_neo",
  "phi",
  "blenderbot",
  "olmo2",
  "blenderbot_small",
  "llama3-untied",
  "qwen2",
  "mistral",
  "granite",
  "gemma",
  "gemma2",
  "gemma3",
  "olmo3",
  "ministral",
  "ministral3",
  "mistral3",
  "cohere",
  "glm",
  "glm4",
  "exaone4",
  "stablelm",
  "starcoder2",
  "gpt_bigcode",
  "gptj",
  "opt",
  "falcon",
  "olmoe",
  "qwen3_moe",
  "mixtral",
  "bloom",
  "mpt",
  "t5",
];

/** RELATIVES in other settings: the long tests alone run them. */
export const OTHER_SETTINGS: readonly string[] = [
  "stablelm-parallel",
  "starcoder2-full",
  "gpt_bigcode-heads",
  "opt-post",
  "falcon-groups",
  "falcon-heads",
  "qwen3_moe-sparse",
  "olmoe-f16",
  "falcon-alibi",
  "bloom-post",
  "mpt-scaled",
  "t5-gated",
  "mt5",
  "umt5",
];

/**
 * Models that are quantised on every change, and to what: every kind of stack, of input and of activation, and between them both
 * formats. What quantised matrices see of the others is the same; the long tests have every model in both.
 */
export const QUANTIZED: readonly (readonly [string, QuantizedFormat])[] = [
  ["smollm3-bf16", "int8"],
  ["smollm3-bf16", "int4"],
  ["phi3", "int4"],
  ["gpt2", "int8"],
  ["codegen", "int4"],
  ["bart", "int8"],
  ["cohere2", "int4"],
];

/** Models that are run in the baseline build on every change: every format, and between them every kernel. */
export const BASELINE: readonly string[] = ["smollm3-bf16", "smollm3-f16", "gpt2", "bart"];

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
