/**
 * Every processor, alone and combined, against transformers (test/fixtures/sampling/make_processors.py).
 *
 * The bound is zero: the same tokens survive, and the surviving values are equal to the last bit. Values are only ever
 * scaled by one f32 multiplication or division at a time, which IEEE 754 rounds in one way; nothing is summed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { resolveGenerateOptions } from "../src/runtime/generation/options.ts";
import { Sampler } from "../src/runtime/sampling/sampler.ts";
import { sequenceRules } from "./support/rules.ts";

interface LogitsSpec {
  vocab: number;
  seed: number;
  spread: number;
  quantum: number;
}

interface GoldenCase {
  logits: string;
  parameters: Record<string, unknown>;
  input_ids: number[];
  prompt_length: number;
  eos_token_ids: number[];
  processors: string[];
  survivors: number;
  kept_ids?: number[];
  kept_values?: string;
  sha256: string;
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, "fixtures/sampling/processors.json"), "utf8"),
) as { sets: Record<string, LogitsSpec>; cases: GoldenCase[] };

/** The logits of a case, as `make_logits` of the fixture's maker computes them. */
function makeLogits({ vocab, seed, spread, quantum }: LogitsSpec): Float32Array {
  const mix = (x: number): number => {
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return (x ^ (x >>> 16)) >>> 0;
  };
  return Float32Array.from({ length: vocab }, (_, i) => {
    let state = mix(Math.imul(i, 0x9e3779b1) + seed);
    let total = 0;
    for (let round = 0; round < 3; round++) {
      state = mix(state + 0x6d2b79f5);
      total += state >>> 12;
    }
    const steps = Math.floor((total - 3 * 2 ** 19) / quantum) * quantum;
    // Adding 0 turns -0 into 0, as Python's integers have no -0.
    return (steps * spread) / 2 ** 20 + 0;
  });
}

function processWithSampler(golden: GoldenCase, logits: Float32Array): Float32Array {
  const { min_new_tokens: minNewTokens = 0, ...config } = golden.parameters;
  // The maker switches off what transformers has off by default here.
  const { sampling } = resolveGenerateOptions({}, { top_k: 0, ...config });
  const sampler = new Sampler(sampling, {
    vocabSize: logits.length,
    promptIds: golden.input_ids.slice(0, golden.prompt_length),
    eosTokenIds: golden.eos_token_ids,
    minNewTokens: minNewTokens as number,
    sequence: [0, 0, 0],
    rules: sequenceRules({}, config),
  });
  for (const token of golden.input_ids.slice(golden.prompt_length)) {
    sampler.accept(token);
  }
  return sampler.process(logits, golden.input_ids.length);
}

const bits = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

test("the golden file has every processor alone and all together", () => {
  const combinations = new Set(golden.cases.map((entry) => entry.processors.join(" ")));
  for (const name of [
    "RepetitionPenaltyLogitsProcessor",
    "NoRepeatNGramLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor",
    "TemperatureLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "MinPLogitsWarper",
  ]) {
    expect(combinations).toContain(name);
  }
  expect(combinations).toContain(
    "RepetitionPenaltyLogitsProcessor NoRepeatNGramLogitsProcessor MinNewTokensLengthLogitsProcessor " +
      "TemperatureLogitsWarper TopKLogitsWarper TopPLogitsWarper MinPLogitsWarper",
  );
});

describe.each(Object.keys(golden.sets))("logits %s", (name) => {
  const logits = makeLogits(golden.sets[name]);
  const cases = golden.cases.filter((entry) => entry.logits === name);

  test.each(cases.map((entry) => [JSON.stringify(entry.parameters), entry] as const))("%s", (_, entry) => {
    const processed = processWithSampler(entry, logits);
    const kept = [...processed.keys()].filter((token) => processed[token] !== -Infinity);
    // The short lists are compared first: they say what differs.
    if (entry.kept_ids !== undefined && entry.kept_values !== undefined) {
      expect(kept).toEqual(entry.kept_ids);
      const expected = new Float32Array(new Uint8Array(Buffer.from(entry.kept_values, "base64")).buffer);
      expect(bits(Float32Array.from(kept, (token) => processed[token]))).toEqual(bits(expected));
    }
    expect(kept).toHaveLength(entry.survivors);
    expect(createHash("sha256").update(bits(processed)).digest("hex")).toBe(entry.sha256);
  });
});
