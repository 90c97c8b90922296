/** Which quantization "auto" takes on each device, what is said of it, and what becomes of the others. */
import { describe, expect, test } from "vitest";
import type { Executable, MemoryUse, Preparation } from "./backend.ts";
import { quantizedForCpu, quantizedForGpu } from "./choose-quantization.ts";
import type { Quantization } from "./held-formats.ts";
import { availableMemory } from "./platform/system.ts";

const CONTEXT = 1000;

/** Preparations whose weights take so many bytes; the KV cache of the context and the work take none. */
function preparing(bytes: Readonly<Record<Quantization, number>>) {
  const disposed: Quantization[] = [];
  const prepare = (quantization: Quantization): Promise<Preparation> => {
    const weightBytes = bytes[quantization];
    const memory: MemoryUse = {
      weightBytes,
      weightBytesPerToken: weightBytes,
      kvCacheBytes: 0,
      workBytes: 0,
    };
    return Promise.resolve({
      device: { kind: "wasm", description: "pretended" },
      memory,
      memoryFor: () => memory,
      load: () => Promise.reject<Executable>(new Error("nothing is loaded")),
      dispose: () => {
        disposed.push(quantization);
        return Promise.resolve();
      },
    });
  };
  return { prepare, disposed };
}

/** Far more than this machine has free, and far less. */
const TOO_MUCH = availableMemory() * 4;
const LITTLE = 1000;

describe("the CPU", () => {
  test.each([
    [
      { none: LITTLE, int8: LITTLE / 2, int4: LITTLE / 4 },
      LITTLE,
      [],
      "Quantization: none; the weights as they are",
    ],
    [
      { none: TOO_MUCH, int8: LITTLE / 2, int4: LITTLE / 4 },
      LITTLE / 2,
      ["none"],
      "Quantization: int8 (weights of 500",
    ],
    [
      { none: TOO_MUCH, int8: TOO_MUCH, int4: LITTLE / 4 },
      LITTLE / 4,
      ["none", "int8"],
      "Quantization: int4 (weights of 250",
    ],
    // The check that follows refuses it, with the figures of what takes least.
    [
      { none: TOO_MUCH, int8: TOO_MUCH, int4: TOO_MUCH / 2 },
      TOO_MUCH / 2,
      ["none", "int8"],
      "Quantization: int4",
    ],
  ])("auto with %j", async (bytes, chosen, freed, notice) => {
    const { prepare, disposed } = preparing(bytes);
    const found = await quantizedForCpu("auto", prepare, CONTEXT);
    expect(found.preparation.memory.weightBytes).toBe(chosen);
    expect(found.notice).toContain(notice);
    expect(found.alternatives).toEqual([]);
    expect(disposed).toEqual(freed);
  });

  test("what was asked for by name is taken, with what takes less where it has no room", async () => {
    const bytes = { none: TOO_MUCH, int8: TOO_MUCH / 2, int4: LITTLE };
    for (const [asked, names] of [
      ["none", ["int8", "int4"]],
      ["int8", ["int4"]],
      ["int4", []],
    ] as const) {
      const { preparation, notice, alternatives } = await quantizedForCpu(
        asked,
        preparing(bytes).prepare,
        CONTEXT,
      );
      expect(preparation.memory.weightBytes).toBe(bytes[asked]);
      expect(notice).toBeUndefined();
      expect(alternatives.map(({ quantization, need }) => [quantization, need.weightBytes])).toEqual(
        names.map((name) => [name, bytes[name]]),
      );
    }
  });

  test("nothing else is prepared where there is room", async () => {
    const asked: Quantization[] = [];
    const { prepare } = preparing({ none: LITTLE, int8: LITTLE, int4: LITTLE });
    const found = await quantizedForCpu(
      "none",
      (quantization) => {
        asked.push(quantization);
        return prepare(quantization);
      },
      CONTEXT,
    );
    expect(asked).toEqual(["none"]);
    expect(found.alternatives).toEqual([]);
  });
});

describe("a GPU", () => {
  const bytes = { none: 4000, int8: 2000, int4: 1000 };

  test.each([
    [undefined, 4000],
    [4000, 4000],
    [3999, 2000],
    [2000, 2000],
    [1999, 1000],
    [10, 1000],
  ])("auto with a budget of %j bytes", async (budget, chosen) => {
    const { preparation, notice } = await quantizedForGpu("auto", preparing(bytes).prepare, budget);
    expect(preparation.memory.weightBytes).toBe(chosen);
    expect(notice).toContain(chosen === 4000 ? "Quantization: none" : chosen === 2000 ? "int8" : "int4");
  });

  test("what was asked for by name is taken, whatever the budget", async () => {
    const { preparation, notice } = await quantizedForGpu("int8", preparing(bytes).prepare, 10);
    expect(preparation.memory.weightBytes).toBe(2000);
    expect(notice).toBeUndefined();
  });
});
