/**
 * A KV cache of float16: how far results are from exact ones, and that all that is done with sequences is done with its halves
 * too. bit-identity.test.ts has threads and cuts of the prompt, attention.test.ts the kernels.
 */
import { describe, expect, test } from "vitest";
import { loadModel } from "../src/models/model.ts";
import { WebGpuBackend } from "../src/runtime/webgpu/backend.ts";
import {
  distance,
  expectGreedy,
  expectSameBits,
  expectWithin,
  FACTOR,
  openExactGolden,
} from "./support/accuracy.ts";
import { encode, forwardIds, loadGolden, modelPath, openGolden, passOf, prefill } from "./support/golden.ts";
import { nearestF16 } from "./support/numbers.ts";
import { readWeights, referencePass } from "./support/reference-model.ts";

const HALF = { kvPrecision: "float16" } as const;

describe.each(["smollm3-bf16", "llama", "gpt2", "gpt_neo", "bart"])("%s", (name) => {
  test("logits are as far from exact ones as rounded keys and values put them", async () => {
    const golden = await openExactGolden(name);
    const { program, checkpoint, prompts, exact, distant } = golden;
    const weights = readWeights(program, checkpoint);
    const [half, whole] = [
      await loadGolden(golden, { threads: 2 }, HALF),
      await loadGolden(golden, { threads: 2 }),
    ];
    try {
      for (const [p, prompt] of prompts.entries()) {
        const truth = exact[p].logits.at(-1) ?? [];
        const rounded =
          referencePass(program, weights, prompt, "f64", { held: nearestF16 }).logits.at(-1) ?? [];
        const moved = distance(rounded, truth);
        expect(moved).toBeGreaterThan(0);
        for (const size of [3, half.maxRows]) {
          const ids = forwardIds(prompt);
          const { sourceLength } = await encode(half, prompt);
          const logits = await prefill(half, ids, { size, sourceLength });
          // A sum of f32 beside the half of two halves rounds the other way, now and then: the error is another of that size.
          expectWithin(logits, truth, 2 * moved + FACTOR * distant, `prompt ${p} in passes of ${size}`);
          await encode(whole, prompt);
          const plain = await prefill(whole, ids, { size, sourceLength });
          expect(distance(logits, plain), `prompt ${p}, rounded at all`).toBeGreaterThan(0);
        }
      }
    } finally {
      await half.dispose();
      await whole.dispose();
    }
  });
});

test.each([1, 2])("the bundled model, %i threads: the greedy tokens of float32", async (threads) => {
  const golden = await openGolden("tales");
  const executable = await loadGolden(golden, { threads }, HALF);
  try {
    for (const prompt of golden.prompts.keys()) {
      await expectGreedy(executable, golden, { prompt, size: 4, count: 64 });
    }
  } finally {
    await executable.dispose();
  }
});

test.each([1, 2, 3])(
  "%i threads: forks, snapshots and shortened sequences have the same bits",
  async (threads) => {
    const golden = await openGolden("smollm3-bf16");
    const executable = await loadGolden(golden, { threads }, { ...HALF, slots: 3 });
    try {
      const tokens = Array.from({ length: 140 }, (_, i) => (i * 37) % 250);
      const [head, tail] = [tokens.slice(0, 130), tokens.slice(130)];
      const expected = new Float32Array(await prefill(executable, tokens));
      await prefill(executable, head, { slot: 1 });
      const snapshot = await executable.snapshot(1);
      await executable.fork(1, 2, head.length);
      expectSameBits(await prefill(executable, tail, { slot: 2, position: 130 }), expected, "fork");
      await prefill(executable, [5, 6, 7], { slot: 1 });
      await executable.restore(snapshot, 1);
      expectSameBits(await prefill(executable, tail, { slot: 1, position: 130 }), expected, "snapshot");
      await executable.truncate(1, 130);
      const pass = { ...passOf(tail, 130, 1), logitRows: Int32Array.of(9) };
      expectSameBits((await executable.run(pass)).logits, expected, "shortened");
    } finally {
      await executable.dispose();
    }
  },
);

test("half the bytes, told so", async () => {
  const golden = await openGolden("smollm3");
  const [half, whole] = [
    await loadGolden(golden, { threads: 1 }, HALF),
    await loadGolden(golden, { threads: 1 }),
  ];
  expect(half.memory.kvCacheBytes).toBe(whole.memory.kvCacheBytes / 2);
  await half.dispose();
  await whole.dispose();
});

test("the GPU refuses it by name", async () => {
  const refusal = {
    code: "unsupported",
    parameter: "kvPrecision",
    message: expect.stringMatching(/^kvPrecision float16 is the CPU's so far;/) as string,
  };
  const { program, checkpoint } = await openGolden("smollm3");
  const preparing = new WebGpuBackend().prepare(program, checkpoint, {
    contextLength: 64,
    slots: 1,
    ...HALF,
  });
  await expect(preparing).rejects.toMatchObject(refusal);
  await expect(loadModel(modelPath("tales"), { device: "webgpu", ...HALF })).rejects.toMatchObject(refusal);
});
