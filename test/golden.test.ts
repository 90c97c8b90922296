/**
 * Golden models on the CPU device: accuracy and greedy tokens for every stored format, kernel build, thread count and way
 * to cut the prompt; the same bits whatever the threads. golden-gpu.test.ts has the GPU, contract.test.ts what else holds
 * for both.
 */
import { afterAll, beforeAll, describe, test } from "vitest";
import type { KernelBuild } from "../src/kernels/wasm-module.ts";
import type { WasmExecutable } from "../src/runtime/wasm/executable.ts";
import {
  expectActivations,
  expectGreedy,
  expectLastLogits,
  expectSameBits,
  openExactGolden,
  type ExactGolden,
} from "./support/accuracy.ts";
import { encode, loadGolden, openGolden, passOf, prefill } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";

const BUILDS: readonly KernelBuild[] = ["relaxed", "baseline"];
const THREADS = [1, 2, 3];

const SMOLLM3 = ["smollm3", "smollm3-bf16", "smollm3-f16", "smollm3-sharded", "smollm3-yarn"];
const DECODERS = ["llama", "llama3-untied", "gpt2", "gpt_neo", "codegen"];
const ENCODER_DECODERS = ["blenderbot", "blenderbot_small", "bart"];

describe.each([...SMOLLM3, ...DECODERS, ...ENCODER_DECODERS])("%s", (name) => {
  let golden: ExactGolden;
  beforeAll(async () => {
    golden = await openExactGolden(name);
  });

  describe.each(BUILDS)("%s", (build) => {
    let executables: WasmExecutable[];
    beforeAll(async () => {
      executables = await Promise.all(
        THREADS.map((threads) => loadGolden(golden, { threads, kernelBuild: build })),
      );
    });
    afterAll(async () => {
      await Promise.all(executables.map((executable) => executable.dispose()));
    });

    test("every layer and all logits of a prompt", async () => {
      for (const executable of executables) {
        await expectActivations(executable, golden);
      }
    });

    test("last logits of every prompt", async () => {
      for (const executable of executables) {
        for (const prompt of golden.prompts.keys()) {
          await expectLastLogits(executable, golden, { prompt });
        }
      }
    });

    test.each(name === "smollm3" ? [256, 16, 5, 1] : [256, 5])(
      "32 greedy tokens of every prompt, prefilled in passes of %i",
      async (size) => {
        for (const executable of executables) {
          for (const prompt of golden.prompts.keys()) {
            await expectGreedy(executable, golden, { prompt, size });
          }
        }
      },
    );

    test("the same bits for 1, 2 and 3 threads, near and far", async () => {
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
      for (const other of [all[1], all[2]]) {
        for (const [i, logits] of other.entries()) {
          expectSameBits(logits, all[0][i], `result ${i}`);
        }
      }
    });
  });
});

test.each(["gpt2-bin-legacy", "blenderbot-bin"])(
  "%s: the same tokens from pytorch_model.bin",
  async (name) => {
    const golden = await openGolden(name);
    const executable = await loadGolden(golden, { threads: 2 });
    try {
      for (const prompt of golden.prompts.keys()) {
        await expectGreedy(executable, golden, { prompt });
      }
    } finally {
      await executable.dispose();
    }
  },
);

describe("the bundled model", () => {
  let golden: ExactGolden;
  beforeAll(async () => {
    golden = await openExactGolden("tales");
  });

  test.each([
    ["relaxed", 1],
    ["relaxed", 2],
    ["baseline", 3],
  ] as const)("%s, %i threads: logits and greedy tokens of every prompt", async (kernelBuild, threads) => {
    const executable = await loadGolden(golden, { kernelBuild, threads });
    try {
      for (const prompt of golden.prompts.keys()) {
        await expectLastLogits(executable, golden, { prompt });
        await expectGreedy(executable, golden, { prompt, size: 4, count: 64 });
      }
    } finally {
      await executable.dispose();
    }
  });
});

describe("several memories a worker", () => {
  test.each([1, 2, 3])("%i threads: the same bits as in one", async (threads) => {
    for (const name of threads === 2 ? ["smollm3-bf16", "smollm3"] : ["smollm3-bf16"]) {
      const golden = await openGolden(name);
      const options = { threads, maxRows: 32 };
      const one = await loadGolden(golden, options, { slots: 2 });
      try {
        const [prompt] = golden.prompts.slice(-1);
        const expected = await prefill(one, prompt.input_ids);
        // The limit leaves room for what every memory has, the table, and about two of the eight layers.
        const limit = name === "smollm3" ? 1_500_000 : 1_400_000;
        const several = await loadGolden(golden, { ...options, bankLimit: limit }, { slots: 2 });
        try {
          expectSameBits(await prefill(several, prompt.input_ids), expected);
          const logitRows = Int32Array.from(golden.prompts[0].input_ids.keys());
          const pass = { ...passOf(golden.prompts[0].input_ids), logitRows, trace: true };
          const [theirs, ours] = [await one.run(pass), await several.run(pass)];
          expectSameBits(ours.logits, theirs.logits);
          for (const [what, values] of theirs.activations) {
            expectSameBits(ours.activations.get(what)!, values, what);
          }
          await several.fork(0, 1, 6);
          for (const p of golden.prompts.keys()) {
            await expectGreedy(several, golden, { prompt: p, size: 3, slot: 1 });
          }
        } finally {
          await several.dispose();
        }
      } finally {
        await one.dispose();
      }
    }
  });
});
