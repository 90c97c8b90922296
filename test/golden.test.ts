/**
 * Golden models on the CPU device: accuracy and greedy tokens for every stored format, kernel build, thread count and way
 * to cut the prompt; the same bits whatever the threads. golden-gpu.test.ts has the GPU, contract.test.ts what else holds
 * for both, golden.long.test.ts the baseline build of the other models.
 */
import { beforeAll, describe, test } from "vitest";
import {
  expectGreedy,
  expectLastLogits,
  expectSameBits,
  openExactGolden,
  type ExactGolden,
} from "./support/accuracy.ts";
import { bestKernelBuild } from "../src/runtime/wasm/kernel-builds.ts";
import { loadGolden, openGolden, passOf, prefill } from "./support/golden.ts";
import { BASELINE, describeGolden, GOLDENS, RELATIVES } from "./support/golden-suite.ts";

for (const name of GOLDENS) {
  describeGolden(name, bestKernelBuild().build, [1, 3]);
}
for (const name of BASELINE) {
  describeGolden(name, "baseline", [1, 2]);
}

test.each(RELATIVES)("%s: 32 greedy tokens of the longest prompt", async (name) => {
  const golden = await openGolden(name);
  const executable = await loadGolden(golden, { threads: 2 });
  try {
    await expectGreedy(executable, golden, { prompt: 3 });
  } finally {
    await executable.dispose();
  }
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
    ["relaxed-128", 1],
    ["relaxed-128", 2],
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
