/**
 * How far the prefill modes that are not exact may be from the exact one. "f16-emulated" is the arithmetic of "f16", and
 * of matrix units that multiply f16 and add f32, on an adapter that has neither.
 */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { PassResult } from "../src/runtime/backend.ts";
import { WebGpuBackend } from "../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import { openGolden, passOf, type GoldenModel } from "./support/golden.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** The bound of the logits' mean square error over their mean square. Measured: 1.4e-8. */
const MOST_NMSE = 1e-6;
/**
 * The least share of positions whose likeliest token is the same when the text so far is given (teacher forcing).
 * Measured: all of them.
 */
const LEAST_TOP_1 = 0.99;

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

const forward = async (mode: string, tokens: readonly number[]): Promise<PassResult> =>
  executables.get(mode)!.run({ ...passOf(tokens), logitRows: Int32Array.from(tokens.keys()) });

test.each(QUANTIZATIONS)(
  "f16, weights %s: NMSE and teacher-forced top-1 against exact",
  async (quantization) => {
    const { vocabSize } = golden.program;
    let [error, square, same, positions] = [0, 0, 0, 0];
    for (const { input_ids, greedy } of golden.prompts.slice(0, 1)) {
      const tokens = [...input_ids, ...greedy];
      expect(tokens.length).toBeGreaterThan(16); // a block: fewer rows are always exact
      const { logits: exact } = await forward(`exact, ${quantization}`, tokens);
      const { logits } = await forward(`f16-emulated, ${quantization}`, tokens);
      expect(logits).not.toEqual(exact);
      for (let p = 0; p < tokens.length; p++, positions++) {
        const row = (all: Float32Array): Float32Array => all.subarray(p * vocabSize, (p + 1) * vocabSize);
        const [a, b] = [row(exact), row(logits)];
        a.forEach((value, i) => {
          error += (b[i] - value) ** 2;
          square += value ** 2;
        });
        if (a.indexOf(Math.max(...a)) === b.indexOf(Math.max(...b))) {
          same++;
        }
      }
    }
    expect(error / square).toBeLessThan(MOST_NMSE);
    expect(same / positions).toBeGreaterThanOrEqual(LEAST_TOP_1);
  },
);
