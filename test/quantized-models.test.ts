/**
 * Golden models with int8 and int4 weights on the CPU, compared with exact arithmetic over the same quantised weights:
 * activations in f32 as near as without quantization, int8 ones as near as their rounding lets them; the same bits for any
 * number of threads and any cut of the prompt; beams.
 */
import { expect, test } from "vitest";
import { loadModel } from "../src/index.ts";
import type { QuantizedFormat } from "../src/kernels/format.ts";
import { largest } from "./support/accuracy.ts";
import { modelPath, openGolden } from "./support/golden.ts";
import { readQuantizedWeights } from "./support/quantized-weights.ts";
import { QUANTIZED } from "./support/golden-suite.ts";
import { describeQuantized } from "./support/quantized-suite.ts";
import { referencePass } from "./support/reference-model.ts";

for (const [name, quantization] of QUANTIZED) {
  describeQuantized(name, quantization, [1, 3]);
}

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
