/** How far prefill with attention on matrix units, emulated, and with quantised weights is from the exact one. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { ForcedAttention } from "../src/kernels/attention/attention-select.gpu.ts";
import type { ExecutableOptions } from "../src/runtime/backend.ts";
import { WebGpuBackend, type WebGpuOptions } from "../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import { openGolden, type GoldenModel } from "./support/golden.ts";
import { prefillError } from "./support/prefill-error.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Cut so that the bundled model's heads of 32 have few matrices. */
const ATTENTION: ForcedAttention = {
  emulated: true,
  tiling: {
    matrixRows: 8,
    matrixColumns: 8,
    matrixK: 16,
    subgroupSize: 8,
    subgroupRows: 1,
    subgroupColumns: 2,
    queries: 8,
    keys: 16,
    scorePadding: 4,
    prefetch: true,
  },
};

let golden: GoldenModel;
const executables: WebGpuExecutable[] = [];
beforeAll(async () => {
  golden = await openGolden("tales");
});
afterAll(async () => {
  for (const executable of executables) {
    await executable.dispose();
  }
});

type Precision = Pick<ExecutableOptions, "kvPrecision" | "quantization">;

async function load(options: WebGpuOptions, precision: Precision): Promise<WebGpuExecutable> {
  const backend = new WebGpuBackend({ name: "swiftshader", maxRows: 256, ...options });
  const shape = { contextLength: 256, slots: 1, ...precision };
  const preparation = await backend.prepare(golden.program, golden.checkpoint, shape);
  const executable = await preparation.load();
  executables.push(executable);
  return executable;
}

test.each(["float32", "float16"] as const)(
  "a cache of %s: NMSE and teacher-forced top-1 against exact",
  async (kvPrecision) => {
    const exact = await load({ prefill: "exact" }, { kvPrecision });
    const onUnits = await load(
      { prefill: "f16-emulated", forced: { blockAttention: ATTENTION } },
      { kvPrecision },
    );
    const { nmse, top1 } = await prefillError(golden, exact, onUnits);
    // Measured: 6e-8, and all of them.
    expect(nmse).toBeLessThan(1e-6);
    expect(top1).toBeGreaterThanOrEqual(0.99);
  },
);

test("weights that were quantised are rounded to f16 like any others", async () => {
  const exact = await load({ prefill: "exact" }, { quantization: "int4" });
  const half = await load({ prefill: "f16-emulated" }, { quantization: "int4" });
  const { nmse, top1 } = await prefillError(golden, exact, half);
  expect(nmse).toBeLessThan(1e-6);
  expect(top1).toBeGreaterThanOrEqual(0.99);
});
