/** What is asked of a golden model with quantised weights on the CPU device; the tests say which models. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PANEL, type QuantizedFormat } from "../../src/kernels/format.ts";
import type { Activations } from "../../src/runtime/device-types.ts";
import type { WasmExecutable } from "../../src/runtime/wasm/executable.ts";
import {
  distance,
  expectActivations,
  expectLastLogits,
  expectSameBits,
  expectWithin,
  FACTOR,
  largest,
  openExactGolden,
} from "./accuracy.ts";
import { encode, forwardIds, loadGolden, passOf, prefill } from "./golden.ts";
import { integerResults, quantizedGolden, type QuantizedGolden } from "./quantized-weights.ts";
import type { ReferencePass, Rows } from "./reference-model.ts";

/**
 * How many times the error that int8 activations make a device may be off exact arithmetic over int8 activations. An input in the
 * middle of two steps is rounded up in one and down in the other; from there on each has an error of int8's size of its own, and
 * the largest of two such differ by no more than their sum.
 */
const ROUNDED = 2.5;

/**
 * Families whose first layer has hardly any input in the middle of two steps: no golden weights on a grid lie behind an RMS norm,
 * which keeps their ratios. There most tokens must come out of the first layer as near as in f32.
 */
const UNDECIDED = /llama|smollm3|qwen|mistral|mixtral|ministral|granite|olmoe|gpt_oss|phi3|glm/;

/**
 * What an expert adds is not near what another does. Where int8's rounding has decided which of two a row has, nothing behind
 * that can be compared; that there are passes without it is asked.
 */
const ROUTES = /routes$/;

const flat = (rows: Rows): Float64Array => Float64Array.from(rows.flatMap((row) => [...row]));

/** Whether rows of routes name the same experts. */
function haveSameRoutes(found: Float32Array, expected: Rows): boolean {
  return expected.every((row, r) =>
    row.subarray(0, row.length / 2).every((expert, i) => expert === found[r * row.length + i]),
  );
}

/** Declares the tests of a model, held in a format, with these numbers of threads. */
export function describeQuantized(
  name: string,
  quantization: QuantizedFormat,
  threadCounts: readonly number[],
): void {
  describe(`${name}, ${quantization}`, () => {
    let golden: QuantizedGolden;
    const loaded = new Map<Activations, WasmExecutable[]>();
    beforeAll(async () => {
      golden = quantizedGolden(await openExactGolden(name), quantization);
      for (const activations of ["float32", "int8"] as const) {
        const executables = threadCounts.map((threads) =>
          loadGolden(golden, { threads }, { quantization, activations }),
        );
        loaded.set(activations, await Promise.all(executables));
      }
    });
    afterAll(async () => {
      await Promise.all([...loaded.values()].flat().map((executable) => executable.dispose()));
    });
    const executablesOf = (activations: Activations): WasmExecutable[] => loaded.get(activations) ?? [];

    test("float32 activations: every layer and all logits, as near as without quantization", async () => {
      for (const executable of executablesOf("float32")) {
        await expectActivations(executable, golden);
        for (const prompt of golden.prompts.keys()) {
          await expectLastLogits(executable, golden, { prompt });
          await expectLastLogits(executable, golden, { prompt, size: 1 });
        }
      }
    });

    test("int8 activations: every layer and all logits", async () => {
      const [executable] = executablesOf("int8");
      let [near, rows, compared] = [0, 0, 0];
      const integer = integerResults(golden, quantization);
      for (const [p, prompt] of golden.prompts.entries()) {
        const ids = forwardIds(prompt);
        const { sourceLength, activations: encoded } = await encode(executable, prompt, true);
        const logitRows = Int32Array.from([...ids.keys()].slice(-PANEL));
        const pass = { ...passOf(ids, 0, 0, sourceLength), logitRows, trace: true };
        const { activations, logits } = await executable.run(pass);
        const found = new Map([...encoded, ...activations, ["logits", logits] as const]);
        const truthOf = ({ activations, logits }: ReferencePass, what: string): Rows =>
          what === "logits" ? logits.slice(-PANEL) : (activations.get(what) ?? []);
        for (const [what, values] of found) {
          const truth = truthOf(integer[p], what);
          if (ROUTES.test(what)) {
            if (!haveSameRoutes(values, truth)) {
              break;
            }
            continue;
          }
          compared += what === "logits" ? 1 : 0;
          const error = distance(flat(truth), flat(truthOf(golden.exact[p], what)));
          const f32 = FACTOR * golden.relative * largest(flat(truth));
          expectWithin(values, flat(truth), ROUNDED * error + f32, `prompt ${p}, ${what}`);
          if (/layers\.0$/.test(what)) {
            const columns = values.length / truth.length;
            rows += truth.length;
            near += truth.filter((row, r) => {
              const own = values.subarray(r * columns, (r + 1) * columns);
              return distance(own, row) <= f32;
            }).length;
          }
        }
      }
      expect(compared).toBeGreaterThanOrEqual(golden.program.lines.size > 0 ? 1 : golden.prompts.length);
      expect(rows).toBeGreaterThan(0);
      expect(near / rows).toBeGreaterThan(UNDECIDED.test(name) ? 0 : 0.6);
    });

    test.each(["float32", "int8"] as const)(
      "%s activations: the same bits for any threads, in one pass, in passes of 5 and token by token",
      async (activations) => {
        const prompt = golden.prompts[golden.prompts.length - 1];
        let expected: Float32Array | undefined;
        for (const executable of executablesOf(activations)) {
          for (const size of [256, 5, 1]) {
            const { sourceLength } = await encode(executable, prompt);
            const logits = await prefill(executable, forwardIds(prompt), { size, sourceLength });
            expected ??= logits;
            expectSameBits(logits, expected, `${executable.device.description}, passes of ${size}`);
          }
        }
      },
    );
  });
}
