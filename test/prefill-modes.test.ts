/**
 * How far the prefill modes that are not exact may be from the exact one. "f16-emulated" is the arithmetic of "f16", and
 * of matrix units that multiply f16 and add f32, on an adapter that has neither.
 */
import { afterAll, beforeAll, test, vi } from "vitest";
import { WebGpuBackend } from "../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import { openGolden, type GoldenModel } from "./support/golden.ts";
import { checkPrefillMode } from "./support/prefill-error.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Weights that were quantised are rounded to f16 like any others. */
const QUANTIZATIONS = ["none", "int4"] as const;

let golden: GoldenModel;
const executables = new Map<string, WebGpuExecutable>();
beforeAll(async () => {
  golden = await openGolden("tales");
  for (const quantization of QUANTIZATIONS) {
    for (const prefill of ["exact", "f16-emulated"] as const) {
      const backend = new WebGpuBackend({ name: "swiftshader", prefill, maxRows: 256 });
      const options = { contextLength: 256, slots: 1, quantization };
      const preparation = await backend.prepare(golden.program, golden.checkpoint, options);
      executables.set(`${prefill}, ${quantization}`, await preparation.load());
    }
  }
});
afterAll(async () => {
  for (const executable of executables.values()) {
    await executable.dispose();
  }
});

test.each(QUANTIZATIONS)(
  "f16, weights %s: NMSE and teacher-forced top-1 against exact",
  async (quantization) => {
    await checkPrefillMode(
      golden,
      executables.get(`exact, ${quantization}`)!,
      executables.get(`f16-emulated, ${quantization}`)!,
    );
  },
);
