/**
 * How far the prefill modes that are not exact may be from the exact one. "f16-emulated" is the arithmetic of "f16", and
 * of matrix units that multiply f16 and add f32, on an adapter that has neither; "split-emulated" that of "split".
 * prefill-modes.long.test.ts has quantised weights, and attention on matrix units.
 */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebGpuBackend } from "../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import { openGolden, type GoldenModel } from "./support/golden.ts";
import { prefillError } from "./support/prefill-error.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** The bound of the logits' mean square error over their mean square. Measured: 1.4e-8. */
const MOST_NMSE = 1e-6;
/**
 * The least share of positions whose likeliest token is the same when the text so far is given (teacher forcing).
 * Measured: all of them.
 */
const LEAST_TOP_1 = 0.99;

/** The same of "split". Measured: 2e-13. */
const MOST_SPLIT_NMSE = 1e-11;

let golden: GoldenModel;
const executables = new Map<string, WebGpuExecutable>();
beforeAll(async () => {
  golden = await openGolden("tales");
  for (const prefill of ["exact", "f16-emulated", "split-emulated"] as const) {
    const backend = new WebGpuBackend({ name: "swiftshader", prefill, maxRows: 256 });
    const preparation = await backend.prepare(golden.program, golden.checkpoint, {
      contextLength: 256,
      slots: 1,
    });
    executables.set(prefill, await preparation.load());
  }
});
afterAll(async () => {
  for (const executable of executables.values()) {
    await executable.dispose();
  }
});

const compare = (mode: string): Promise<{ nmse: number; top1: number }> =>
  prefillError(golden, executables.get("exact")!, executables.get(mode)!);

test("f16: NMSE and teacher-forced top-1 against exact", async () => {
  const { nmse, top1 } = await compare("f16-emulated");
  expect(nmse).toBeLessThan(MOST_NMSE);
  expect(top1).toBeGreaterThanOrEqual(LEAST_TOP_1);
});

test("split: NMSE and teacher-forced top-1 against exact", async () => {
  const { nmse, top1 } = await compare("split-emulated");
  expect(nmse).toBeLessThan(MOST_SPLIT_NMSE);
  expect(top1).toBe(1);
});
