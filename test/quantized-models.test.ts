/**
 * Golden models with int8 and int4 weights on the CPU, compared with exact arithmetic over the same quantised weights:
 * activations in f32 as near as without quantization, int8 ones as near as their rounding lets them; the same bits for any
 * number of threads and any cut of the prompt; beams.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/index.ts";
import { PANEL, type QuantizedFormat } from "../src/kernels/format.ts";
import type { Activations } from "../src/runtime/device-types.ts";
import type { WasmExecutable } from "../src/runtime/wasm/executable.ts";
import {
  distance,
  expectActivations,
  expectLastLogits,
  expectSameBits,
  expectWithin,
  FACTOR,
  largest,
  openExactGolden,
} from "./support/accuracy.ts";
import { encode, forwardIds, loadGolden, modelPath, openGolden, passOf, prefill } from "./support/golden.ts";
import {
  integerResults,
  quantizedGolden,
  readQuantizedWeights,
  type QuantizedGolden,
} from "./support/quantized-weights.ts";
import { GOLDENS } from "./support/golden-suite.ts";
import { referencePass, type ReferencePass, type Rows } from "./support/reference-model.ts";

const QUANTIZED = ["int8", "int4"] as const;
const THREADS = [1, 2, 3];

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
const UNDECIDED = /llama|smollm3|qwen|mistral|granite|phi3/;

const flat = (rows: Rows): Float64Array => Float64Array.from(rows.flatMap((row) => [...row]));

/** Families that differ from Llama's decoder in factors, windows and biases alone: quantised matrices see nothing of that. */
const LIKE_LLAMA = ["qwen2", "mistral", "granite"];

describe.each(GOLDENS.filter((name) => !LIKE_LLAMA.includes(name)))("%s", (name) => {
  describe.each(QUANTIZED)("%s", (quantization) => {
    let golden: QuantizedGolden;
    const loaded = new Map<Activations, WasmExecutable[]>();
    beforeAll(async () => {
      golden = quantizedGolden(await openExactGolden(name), quantization);
      for (const activations of ["float32", "int8"] as const) {
        const executables = THREADS.map((threads) =>
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
      let [near, rows] = [0, 0];
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
});

/** The logarithms of the probabilities that logits mean. */
function logProbabilities(logits: Float64Array): Float64Array {
  const most = largest(logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return logits.map((logit) => logit - most - Math.log(sum));
}

const BEAM_CASES: readonly (readonly [string, QuantizedFormat])[] = [
  ["smollm3-bf16", "int4"],
  ["gpt2", "int8"],
  ["bart", "int4"],
];

test.each(BEAM_CASES)("%s, %s: beams score what the quantised weights say", async (name, quantization) => {
  const golden = await openGolden(name);
  const weights = readQuantizedWeights(golden.program, golden.checkpoint, quantization);
  const [{ input_ids, decoder_input_ids }] = golden.prompts;
  const isCausal = decoder_input_ids === undefined;
  const results = [];
  for (const threads of [1, 3]) {
    const model = await loadModel(modelPath(name), {
      device: "wasm",
      contextLength: 64,
      maxBeams: 3,
      quantization,
      kvPrecision: "float32",
      activations: "float32",
      threads,
    });
    try {
      const options = {
        numBeams: 3,
        numReturnSequences: 3,
        maxNewTokens: 6,
        minNewTokens: 6,
        lengthPenalty: 0,
        doSample: false,
      };
      results.push((await model.generate(input_ids, options)).sequences ?? []);
    } finally {
      await model.dispose();
    }
  }
  const [one, three] = results;
  expect(three).toEqual(one);
  expect(one).toHaveLength(3);
  for (const { tokens, score } of one) {
    const before = decoder_input_ids?.slice(0, 1) ?? input_ids;
    const all = [...before, ...tokens];
    const prompt = isCausal ? { input_ids: all } : { input_ids, decoder_input_ids: all };
    // BART's end is forced, and costs nothing.
    const chosen = isCausal ? tokens : tokens.slice(0, -1);
    const { logits } = referencePass(golden.program, weights, prompt);
    const expected = chosen.reduce(
      (sum, token, i) => sum + logProbabilities(logits[before.length - 1 + i])[token],
      0,
    );
    expect(Math.abs(score - expected)).toBeLessThan(1e-4 * Math.abs(expected));
  }
});
