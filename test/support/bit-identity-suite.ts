/**
 * What is asked of a golden model on the CPU, the tests say of which and in which settings.
 *
 * A position's logits have one value, to the last bit, within a build of the kernels: whatever passes a prompt is cut into,
 * whatever other sequences share a pass, in whatever slot, on however many threads.
 */
import { expect, test } from "vitest";
import type { QuantizedFormat } from "../../src/kernels/format.ts";
import type { KernelBuild } from "../../src/kernels/wasm-module.ts";
import { loadGolden, openGolden, passOf } from "./golden.ts";
import { randomSource } from "./numbers.ts";

const SLOTS = 7;
const LENGTH = 90;

/** A token of a sequence that is about to run. */
interface Row {
  slot: number;
  position: number;
}

/**
 * Passes in which each of SLOTS sequences goes from its beginning to its end: each pass takes some next rows of some of them,
 * few or many, in any order of sequences.
 */
function randomPasses(random: () => number, maxRows: number): Row[][] {
  const next = new Array<number>(SLOTS).fill(0);
  const passes: Row[][] = [];
  while (next.some((position) => position < LENGTH)) {
    const rows: Row[] = [];
    const order = [...next.keys()].sort(() => random() - 0.5);
    // A row each, as when many are decoded side by side.
    const isStep = random() < 0.5;
    for (const slot of order) {
      // One row as in a decode, a few as for beams and drafts, or a piece of a prompt.
      const most = isStep ? 1 : [0, 1, 3, 6, 40, 200][Math.floor(random() * 6)];
      const count = Math.min(most, LENGTH - next[slot], maxRows - rows.length);
      for (let i = 0; i < count; i++) {
        rows.push({ slot, position: next[slot]++ });
      }
    }
    if (rows.length > 0) {
      passes.push(rows);
    }
  }
  return passes;
}

/** A model, a build of the kernels, how weights are held, and how keys and values are. */
export type Setting = readonly [
  name: string,
  build: KernelBuild,
  quantization: "none" | QuantizedFormat,
  kvPrecision: "float32" | "float16",
];

/** Declares the test of a setting. */
export function describeBitIdentity(setting: Setting, threadCounts: readonly number[]): void {
  const title = "%s, %s, %s, KV %s: random passes, batches and threads";
  test.each([setting])(title, async (name, kernelBuild, quantization, kvPrecision) => {
    const golden = await openGolden(name);
    const random = randomSource(name.length);
    const sequences = Array.from({ length: SLOTS }, () =>
      Array.from({ length: LENGTH }, () => Math.floor(random() * Math.min(300, golden.program.vocabSize))),
    );
    const options = { contextLength: LENGTH + 1, slots: SLOTS, quantization, kvPrecision };

    // What is right: every sequence alone, one token at a time, on one thread.
    const expected: Float32Array[][] = [];
    const one = await loadGolden(golden, { threads: 1, kernelBuild }, options);
    for (const [slot, tokens] of sequences.entries()) {
      const logits: Float32Array[] = [];
      for (const [position, token] of tokens.entries()) {
        const pass = { ...passOf([token], position, slot), logitRows: Int32Array.of(0) };
        logits.push((await one.run(pass)).logits);
      }
      expected.push(logits);
    }
    await one.dispose();

    for (const threads of threadCounts) {
      const executable = await loadGolden(golden, { threads, kernelBuild }, options);
      for (const rows of randomPasses(random, executable.maxRows)) {
        // Logits of up to 16 rows a pass, the last one among them.
        const chosen = [...rows.keys()]
          .filter((r) => r === rows.length - 1 || random() < 15 / rows.length)
          .slice(-16);
        const { logits } = await executable.run({
          tokens: Int32Array.from(rows, ({ slot, position }) => sequences[slot][position]),
          slots: Int32Array.from(rows, ({ slot }) => slot),
          positions: Int32Array.from(rows, ({ position }) => position),
          logitRows: Int32Array.from(chosen),
        });
        const size = golden.program.vocabSize;
        for (const [i, r] of chosen.entries()) {
          const { slot, position } = rows[r];
          const found = logits.subarray(i * size, (i + 1) * size);
          const place = `${threads} threads, a pass of ${rows.length} rows, sequence ${slot} at ${position}`;
          expect(
            Buffer.from(found.slice().buffer).equals(Buffer.from(expected[slot][position].buffer)),
            place,
          ).toBe(true);
        }
      }
      await executable.dispose();
    }
  });
}
