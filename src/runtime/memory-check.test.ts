import { describe, expect, test } from "vitest";
import { checkGpuMemory, checkMemory, fitsMemory, hasRoom } from "./memory-check.ts";

const GB = 1e9;
/** A need of 1 GB for weights and 1 MB a token for 4000 tokens. */
const NEED = { weightBytes: GB, kvCacheBytes: 4 * GB, workBytes: 0.1 * GB };

describe("checkMemory", () => {
  test("says nothing when all fits", () => {
    expect(checkMemory(NEED, 4000, { available: 5.1 * GB })).toBeUndefined();
  });

  test("says for how many tokens there is room when not all do", () => {
    expect(checkMemory(NEED, 4000, { available: 3.1 * GB })).toContain("enough for about 2000 tokens");
    expect(checkMemory(NEED, 4000, { available: 5.09 * GB })).toContain("enough for about 3990 tokens");
    // The notice names never more tokens than the context has and never fewer than loading asks for.
    expect(checkMemory(NEED, 4000, { available: 1.3 * GB })).toContain("enough for about 256 tokens");
  });

  test("refuses what does not hold weights and a short conversation, with the figures", () => {
    const attempt = (): unknown => checkMemory(NEED, 4000, { available: 1.2 * GB });
    expect(attempt).toThrow(
      "The model needs 1.00 GB for its weights and 256 MB for the KV cache of 256 tokens; 1.20 GB of memory is " +
        "available, 56.0 MB too little. Close other programs",
    );
    expect(attempt).toThrow(expect.objectContaining({ code: "out-of-memory" }));
    expect(() => checkMemory(NEED, 4000, { available: 1.257 * GB })).not.toThrow();
  });

  test("names what other precisions need where they fit", () => {
    const half = { ...NEED, weightBytes: 0.5 * GB };
    const quarter = { ...NEED, weightBytes: 0.25 * GB };
    const alternatives = [
      { quantization: "int8", need: half },
      { quantization: "int4", need: quarter },
    ] as const;
    const attempt = (available: number) => () =>
      checkMemory(NEED, 4000, { available: available * GB, alternatives });
    expect(attempt(0.8)).toThrow(
      'too little. Load it quantised (quantization): "int8" needs 756 MB, "int4" needs 506 MB. Or close other programs',
    );
    expect(attempt(0.6)).toThrow('Load it quantised (quantization): "int4" needs 506 MB. Or close');
    expect(attempt(0.5)).toThrow("Close other programs, lower the context length");
  });

  test("whether there is room, and whether all fits", () => {
    expect([1.255, 1.257].map((free) => hasRoom(NEED, 4000, free * GB))).toEqual([false, true]);
    expect([5.09, 5.11].map((free) => fitsMemory(NEED, 4000, free * GB))).toEqual([false, true]);
    // Of a context that short, the least is all of it.
    expect(fitsMemory({ ...NEED, kvCacheBytes: 0 }, 1, 1.05 * GB)).toBe(false);
    expect(hasRoom({ ...NEED, kvCacheBytes: 0 }, 1, 1.05 * GB)).toBe(true);
  });

  test("a context shorter than that needs no more than itself", () => {
    const need = { ...NEED, kvCacheBytes: 0.1 * GB };
    expect(checkMemory(need, 100, { available: 1.2 * GB })).toBeUndefined();
    expect(() => checkMemory(need, 100, { available: 1.05 * GB })).toThrow(
      "100 MB for the KV cache of 100 tokens",
    );
  });

  test("asks the machine when it is told nothing", () => {
    expect(checkMemory({ weightBytes: 1, kvCacheBytes: 1, workBytes: 1 }, 1)).toBeUndefined();
    expect(() => checkMemory({ ...NEED, weightBytes: 2 ** 60 }, 4000)).toThrow("too little");
  });
});

describe("checkGpuMemory", () => {
  test("says nothing within the budget, or without one", () => {
    expect(() => checkGpuMemory(NEED, 4000, 5.1 * GB, "a GPU")).not.toThrow();
    expect(() => checkGpuMemory(NEED, 4000, undefined, "a GPU")).not.toThrow();
  });

  test("refuses the rest, with the figures and the context that fits", () => {
    const attempt = (budget: number) => () =>
      checkGpuMemory(NEED, 4000, budget, "webgpu (NVIDIA H200, vulkan)");
    expect(attempt(3.1 * GB)).toThrow(
      "The model needs 5.10 GB on webgpu (NVIDIA H200, vulkan): 1.00 GB for its weights, 4.00 GB for the KV cache of " +
        "4000 tokens, 100 MB for its work; the budget for GPU memory is 3.10 GB, 2.00 GB too little. Raise the " +
        "budget (gpuMemory), or lower the context length (contextLength) to at most 2000 tokens.",
    );
    expect(attempt(3.1 * GB)).toThrow(
      expect.objectContaining({ code: "out-of-memory", parameter: "gpuMemory" }),
    );
    expect(attempt(1.2 * GB)).toThrow(
      /Raise the budget \(gpuMemory\), use a smaller model, or use the device "wasm"/,
    );
  });
});
