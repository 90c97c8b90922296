/**
 * How far the prefill modes that are not exact may be from the exact one. "f16-emulated" is the arithmetic of "f16", and
 * of matrix units that multiply f16 and add f32, on an adapter that has neither; "split-emulated" that of "split".
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

/** The same of "split". Measured: 2e-13. */
const MOST_SPLIT_NMSE = 1e-11;

/** Weights that were quantised are rounded to f16 like any others. */
const QUANTIZATIONS = ["none", "int4"] as const;

let golden: GoldenModel;
const executables = new Map<string, WebGpuExecutable>();
beforeAll(async () => {
  golden = await openGolden("tales");
  for (const quantization of QUANTIZATIONS) {
    for (const prefill of ["exact", "f16-emulated", "split-emulated"] as const) {
      if (prefill === "split-emulated" && quantization !== "none") {
        continue; // these weights are multiplied exactly
      }
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

/** The modes' logits for a text that is given: mean square error over mean square, and the share of equal likeliest tokens. */
async function compare(exactMode: string, mode: string): Promise<{ nmse: number; top1: number }> {
  const { vocabSize } = golden.program;
  const { input_ids, greedy } = golden.prompts[0];
  const tokens = [...input_ids, ...greedy];
  expect(tokens.length).toBeGreaterThan(16); // a block: fewer rows are always exact
  const { logits: exact } = await forward(exactMode, tokens);
  const { logits } = await forward(mode, tokens);
  expect(logits).not.toEqual(exact);
  let [error, square, same] = [0, 0, 0];
  for (let p = 0; p < tokens.length; p++) {
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
  return { nmse: error / square, top1: same / tokens.length };
}

test.each(QUANTIZATIONS)(
  "f16, weights %s: NMSE and teacher-forced top-1 against exact",
  async (quantization) => {
    const { nmse, top1 } = await compare(`exact, ${quantization}`, `f16-emulated, ${quantization}`);
    expect(nmse).toBeLessThan(MOST_NMSE);
    expect(top1).toBeGreaterThanOrEqual(LEAST_TOP_1);
  },
);

test("split: NMSE and teacher-forced top-1 against exact", async () => {
  const { nmse, top1 } = await compare("exact, none", "split-emulated, none");
  expect(nmse).toBeLessThan(MOST_SPLIT_NMSE);
  expect(top1).toBe(1);
});
