/**
 * Golden models on the GPU device with weights that are quantised while they are loaded: as near to the exact results of the
 * quantised weights, the CPU's, as the devices are to those of the weights as they are stored.
 */
import { expect, test, vi } from "vitest";
import { expectActivations, expectSameBits, openExactGolden } from "./support/accuracy.ts";
import { GPU, GPU_WITHOUT_SUBGROUPS } from "./support/devices.ts";
import { encode, greedy, greedyStart, openGolden, passOf } from "./support/golden.ts";
import { quantizedGolden, readQuantizedWeights } from "./support/quantized-weights.ts";
import { readWeights, referenceGreedy } from "./support/reference-model.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

test.each([
  ["smollm3-bf16", "int4", GPU],
  ["gpt2", "int8", GPU_WITHOUT_SUBGROUPS],
  ["bart", "int4", GPU],
] as const)("%s, %s: every layer and all logits, greedy tokens", async (name, quantization, device) => {
  const golden = quantizedGolden(await openExactGolden(name), quantization);
  const contextLength = Math.min(128, golden.program.maxPositions);
  const executable = await device.load(golden, { quantization, contextLength });
  try {
    // The prompt runs as a block, and tokens one by one; behind a few rows where it is not an encoder's.
    await expectActivations(executable, golden, { prompt: 2 });
    const { sourceLength } = await encode(executable, golden.prompts[0]);
    const start = greedyStart(golden.prompts[0]);
    const found = await greedy(executable, start, 4, { sourceLength });
    expect(found).toEqual(referenceGreedy(golden.program, golden.weights, golden.prompts[0], 4));
  } finally {
    await executable.dispose();
  }
});

test("quantised weights are other numbers than the stored ones, within reason", async () => {
  const { program, checkpoint } = await openExactGolden("smollm3-bf16");
  const stored = readWeights(program, checkpoint);
  const held = readQuantizedWeights(program, checkpoint, "int4");
  for (const name of program.matrices.keys()) {
    const [before, after] = [stored.get(name)!, held.get(name)!];
    const error = Math.hypot(...before.map((value, i) => value - after[i])) / Math.hypot(...before);
    expect(error, name).toBeGreaterThan(1e-4);
    expect(error, name).toBeLessThan(0.12);
  }
});

test("a row does not depend on those beside it", async () => {
  const quantization = "int4";
  const golden = await openGolden("smollm3-bf16");
  const executable = await GPU.load(golden, { quantization, slots: 2, maxRows: 64 });
  const logitsOf = async (slots: readonly number[], tokens: readonly number[], row: number) => {
    const pass = { ...passOf(tokens), slots: Int32Array.from(slots), logitRows: Int32Array.of(row) };
    pass.positions = pass.positions.map(
      (_, r) => slots.slice(0, r).filter((slot) => slot === slots[r]).length,
    );
    return (await executable.run(pass)).logits;
  };
  try {
    for (const others of [3, 30]) {
      const alone = await logitsOf(
        [1, ...Array<number>(others).fill(0)],
        [9, ...Array<number>(others).fill(5)],
        0,
      );
      const many = Array.from({ length: others + 5 }, (_, i) => 300 - i);
      const beside = await logitsOf([...many.map(() => 0), 1], [...many, 9], many.length);
      expectSameBits(beside, alone, `beside ${others} rows`);
    }
  } finally {
    await executable.dispose();
  }
});
