/**
 * Golden models on the GPU device: accuracy and greedy tokens of every architecture, in every form a pass can have, by
 * every variant of the kernels; and what may be relied on to the last bit. golden-gpu.long.test.ts has the rest,
 * golden.test.ts the CPU device, contract.test.ts what else holds for both.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Executable } from "../src/runtime/backend.ts";
import { expectActivations, expectGreedy, expectSameBits, openExactGolden } from "./support/accuracy.ts";
import { GPU, GPU_LIKE_HARDWARE, GPU_WITHOUT_SUBGROUPS, gpuDevice } from "./support/devices.ts";
import { forwardIds, greedyRequest, openGolden, passOf, prefill } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/**
 * Each variant of the kernels has one format that contract.test.ts has not, and each form of a pass once: compiling takes a
 * software adapter seconds a model. golden-gpu.long.test.ts has every prompt in passes of several sizes,
 * and weights in pieces that small bindings hold; of those contract-programs.test.ts has a program.
 */
test.each(
  (
    [
      [GPU, "smollm3-sharded"],
      [GPU_WITHOUT_SUBGROUPS, "smollm3-f16"],
    ] as const
  ).map(([device, model]) => [device.name, model, device] as const),
)("%s, %s: every layer and all logits by a few rows and a block, greedy tokens", async (_, model, device) => {
  const golden = await openExactGolden(model);
  const executable = await device.load(golden);
  try {
    await expectActivations(executable, golden, { prompt: 0 });
    await expectActivations(executable, golden, { prompt: 2 });
    await expectGreedy(executable, golden, { prompt: 0, count: 8 });
  } finally {
    await executable.dispose();
  }
});

test(`${GPU_LIKE_HARDWARE.name}: more rows than are decoded at once are still a few`, async () => {
  const golden = await openExactGolden("smollm3-bf16");
  const executable = await GPU_LIKE_HARDWARE.load(golden);
  try {
    const size = 33;
    expect(forwardIds(golden.prompts[3]).length).toBeGreaterThanOrEqual(size);
    expect(executable.rows.formOf({ rows: size, length: size })).toBe("few");
    await expectActivations(executable, golden, { prompt: 3, size });
  } finally {
    await executable.dispose();
  }
});

/**
 * Families whose Programs differ most; golden-gpu.long.test.ts has the others. SmolLM3 is above in every variant of kernels.
 */
const DECODERS = ["qwen3", "gpt2", "gpt_neox", "codegen"];
const ENCODERS = ["bart"];

test.each([...DECODERS, ...ENCODERS])("%s: every layer, logits, greedy tokens", async (model) => {
  const golden = await openExactGolden(model);
  const contextLength = Math.min(128, golden.program.maxPositions);
  const executable = await GPU.load(golden, { contextLength });
  try {
    // The prompt runs as a block, and tokens one by one; behind a few rows where it is not an encoder's.
    await expectActivations(executable, golden, { prompt: 2 });
    await expectGreedy(executable, golden, { prompt: ENCODERS.includes(model) ? 2 : 0, count: 8 });
  } finally {
    await executable.dispose();
  }
});

describe("to the last bit", () => {
  const random = randomSource(33);
  const tokens = Array.from({ length: 250 }, () => Math.floor(random() * 512));
  const SLOTS = 3;
  let executable: Executable;
  beforeAll(async () => {
    // Of sequences of 100, 60 and 3 tokens the attention takes several splits, which are merged, or none.
    const device = gpuDevice("webgpu with splits", { forced: { attention: { directPositions: 50 } } });
    executable = await device.load(await openGolden("smollm3-bf16"), { slots: SLOTS, maxRows: 64 });
    await prefill(executable, tokens.slice(0, 100), { slot: 0 });
    await prefill(executable, tokens.slice(100, 160), { slot: 1 });
    await prefill(executable, tokens.slice(160, 163), { slot: 2 });
  });
  afterAll(async () => {
    await executable.dispose();
  });

  const LENGTHS = [100, 60, 3];
  /** The logits of one of several rows, each [slot, how far behind the end of its sequence, token]. */
  const logitsOf = async (rows: readonly (readonly number[])[], row: number): Promise<Float32Array> => {
    const { logits } = await executable.run({
      tokens: Int32Array.from(rows, ([, , token]) => token),
      slots: Int32Array.from(rows, ([slot]) => slot),
      positions: Int32Array.from(rows, ([slot, behind]) => LENGTHS[slot] + behind),
      logitRows: Int32Array.of(row),
    });
    return logits;
  };

  test("the same call twice gives the same, whatever its form", async () => {
    for (const count of [1, 7, 40]) {
      const pass = { ...passOf(tokens.slice(163, 163 + count), 100), trace: true };
      const call = { ...pass, logitRows: Int32Array.of(0, count - 1) };
      const [first, second] = [await executable.run(call), await executable.run(call)];
      expectSameBits(second.logits, first.logits, `logits of ${count} rows`);
      expect(first.activations.size).toBe(10);
      for (const [name, values] of first.activations) {
        expectSameBits(
          second.activations.get(name) ?? new Float32Array(),
          values,
          `${name} of ${count} rows`,
        );
      }
    }
    const chosen: number[][] = [[], []];
    for (const found of chosen) {
      const onToken = (token: number): undefined => void found.push(token);
      const request = greedyRequest(tokens.slice(163, 165), 12, onToken, { position: 100 });
      await executable.decode({
        ...request,
        sampling: { ...request.sampling, doSample: true, temperature: 1.5, seed: 5 },
      });
    }
    expect(chosen[1]).toEqual(chosen[0]);
    expect(chosen[0]).toHaveLength(12);
  });

  test("trace changes nothing", async () => {
    for (const count of [1, 7, 40]) {
      const pass = { ...passOf(tokens.slice(0, count)), logitRows: Int32Array.of(count - 1) };
      const { logits } = await executable.run(pass);
      expectSameBits((await executable.run({ ...pass, trace: true })).logits, logits, `${count} rows`);
    }
    await prefill(executable, tokens.slice(0, 100), { slot: 0 });
  });

  test("a row among a few does not depend on the others, their lengths or its place", async () => {
    const row = [1, 0, 77];
    const alone = await logitsOf([row, [2, 0, 5]], 0);
    expectSameBits(await logitsOf([row, [0, 0, 9]], 0), alone, "beside a longer sequence");
    expectSameBits(await logitsOf([[0, 0, 9], [2, 0, 11], row], 2), alone, "as the last of three");
    const crowd = Array.from({ length: 8 }, (_, i) => [0, i, i]);
    expectSameBits(await logitsOf([...crowd, row, [2, 0, 5]], 8), alone, "behind eight rows");
  });

  test("nor does a row of a block", async () => {
    const row = [1, 0, 77];
    const crowd = (seed: number, count: number): number[][] =>
      Array.from({ length: count }, (_, i) => [0, i, (seed * (i + 1)) % 512]);
    const among = await logitsOf([row, ...crowd(7, 30)], 0);
    expectSameBits(await logitsOf([row, ...crowd(11, 30)], 0), among, "beside other tokens");
    expectSameBits(await logitsOf([row, ...crowd(11, 60)], 0), among, "beside more rows");
    expectSameBits(await logitsOf([...crowd(11, 30), row], 30), among, "behind them");
    expectSameBits(await logitsOf([[2, 0, 5], row, ...crowd(7, 25)], 1), among, "between two sequences");
  });
});
