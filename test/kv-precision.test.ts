/**
 * A KV cache of float16: how far results are from exact ones, and that all that is done with sequences is done with its halves
 * too. bit-identity.test.ts has threads and cuts of the prompt, attention.test.ts and the tests of the GPU's kernels the kernels.
 */
import { describe, expect, test, vi } from "vitest";
import {
  distance,
  expectGreedy,
  expectSameBits,
  expectWithin,
  FACTOR,
  openExactGolden,
} from "./support/accuracy.ts";
import { GPU, wasmDevice } from "./support/devices.ts";
import { encode, forwardIds, openGolden, passOf, prefill } from "./support/golden.ts";
import { nearestF16 } from "./support/numbers.ts";
import { readWeights, referencePass } from "./support/reference-model.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000 });

const HALF = { kvPrecision: "float16" } as const;
const CPU = wasmDevice("wasm", { threads: 2 });

describe.each(
  [
    ...["smollm3-bf16", "llama", "gpt2", "gpt_neo", "bart"].map((name) => [CPU, name] as const),
    [GPU, "smollm3-bf16"] as const,
  ].map(([device, name]) => [device.name, name, device] as const),
)("%s, %s", (_, name, device) => {
  test("logits are as far from exact ones as rounded keys and values put them", async () => {
    const golden = await openExactGolden(name);
    const { program, checkpoint, prompts, exact, distant } = golden;
    const weights = readWeights(program, checkpoint);
    const contextLength = Math.min(256, program.maxPositions);
    const [half, whole] = [
      await device.load(golden, { ...HALF, contextLength }),
      await device.load(golden, { contextLength }),
    ];
    try {
      expect(half.memory.kvCacheBytes).toBe(whole.memory.kvCacheBytes / 2);
      for (const [p, prompt] of prompts.entries()) {
        const truth = exact[p].logits.at(-1) ?? [];
        const rounded =
          referencePass(program, weights, prompt, "f64", { held: nearestF16 }).logits.at(-1) ?? [];
        const moved = distance(rounded, truth);
        expect(moved).toBeGreaterThan(0);
        // A GPU in software takes its time for many passes of a few rows: it does so for one prompt.
        const sizes = device === CPU || p === 0 ? [3, half.maxRows] : [half.maxRows];
        for (const size of sizes) {
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

const CPUS = [1, 2, 3].map((threads) => wasmDevice(`wasm, ${threads} threads`, { threads }));

test.each(CPUS.map((device) => [device.name, device] as const))(
  "%s, the bundled model: the greedy tokens of float32",
  async (_, device) => {
    const golden = await openGolden("tales");
    const executable = await device.load(golden, HALF);
    try {
      for (const prompt of golden.prompts.keys()) {
        await expectGreedy(executable, golden, { prompt, size: 4, count: 64 });
      }
    } finally {
      await executable.dispose();
    }
  },
);

test.each([...CPUS, GPU].map((device) => [device.name, device] as const))(
  "%s: forks, snapshots and shortened sequences have the same bits",
  async (_, device) => {
    const golden = await openGolden("smollm3-bf16");
    const executable = await device.load(golden, { ...HALF, slots: 3 });
    try {
      const tokens = Array.from({ length: 140 }, (_, i) => (i * 37) % 250);
      const [head, tail] = [tokens.slice(0, 130), tokens.slice(130)];
      await prefill(executable, head);
      const expected = new Float32Array(await prefill(executable, tail, { position: 130 }));
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
