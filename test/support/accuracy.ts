/**
 * How near a device must come to golden models: activations and logits as close to the exact result as PyTorch's, and
 * the same greedy tokens.
 */
import { expect } from "vitest";
import { readModelConfig } from "../../src/models/config.ts";
import type { Executable } from "../../src/runtime/backend.ts";
import { greedy, modelPath, openGolden, passOf, prefill, type GoldenModel } from "./golden.ts";
import { worstError } from "./numbers.ts";
import { referencePass, type ReferencePass } from "./reference-model.ts";

/**
 * PyTorch's f32 goldens are themselves some way from the exact result (which the reference computes in f64); ours may be
 * four times as far, for the order of additions is another.
 */
export const FACTOR = 4;

/** Greedy tokens do not hang on rounding: the goldens were chosen so that the two best logits are further apart. */
const LEAST_MARGIN = 0.0025;

type Numbers = ArrayLike<number>;

export const largest = (values: Numbers): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

export const distance = (a: Numbers, b: Numbers): number =>
  largest(Array.from(a, (value, i) => value - b[i]));

const flatten = (rows: readonly Numbers[]): Float64Array =>
  Float64Array.from(rows.flatMap((row) => Array.from(row)));

/** A failed toEqual would print every number. */
export function expectSameBits(actual: Float32Array, expected: Float32Array, what = "logits"): void {
  const { ratio, text } = worstError(actual, expected, () => 0);
  expect(ratio, `${what}: ${text}`).toBe(0);
}

export function expectWithin(actual: Numbers, expected: Numbers, allowed: number, what: string): void {
  const { ratio, text } = worstError(actual, expected, () => allowed);
  expect(ratio, `${what}: ${text}`).toBeLessThanOrEqual(1);
}

/** A golden model beside the exact results. */
export interface ExactGolden extends GoldenModel {
  /** Of every prompt. */
  exact: readonly ReferencePass[];
  /** Largest distance of the goldens' last logits from the exact ones. */
  distant: number;
  /** The same as a fraction of the largest logit. */
  relative: number;
}

export async function openExactGolden(name: string): Promise<ExactGolden> {
  const golden = await openGolden(name);
  const config = await readModelConfig(modelPath(name));
  const exact = golden.prompts.map(({ input_ids }) => referencePass(config, golden.checkpoint, input_ids));
  const truths = exact.map(({ logits }) => logits.at(-1) ?? []);
  const distant = Math.max(...golden.prompts.map(({ last_logits }, p) => distance(last_logits, truths[p])));
  return { ...golden, exact, distant, relative: distant / Math.max(...truths.map(largest)) };
}

/**
 * Every layer's activations and all logits of a prompt, in passes of at most `size` rows. Where the goldens have the
 * activation, its own distance from the exact one counts; else as for the logits, relative to the largest number.
 */
export async function expectActivations(
  executable: Executable,
  { prompts, exact, relative }: ExactGolden,
  { prompt = 0, size = executable.maxRows }: { prompt?: number; size?: number } = {},
): Promise<void> {
  const { input_ids, all_logits, embeddings, layer_outputs, final_norm } = prompts[prompt];
  const found = new Map<string, number[]>();
  const collect = (name: string, values: Float32Array): void => {
    found.set(name, [...(found.get(name) ?? []), ...values]);
  };
  for (let from = 0; from < input_ids.length; from += size) {
    const tokens = input_ids.slice(from, from + size);
    const pass = { ...passOf(tokens, from), logitRows: Int32Array.from(tokens.keys()), trace: true };
    const { logits, activations } = await executable.run(pass);
    collect("logits", logits);
    for (const [name, values] of activations) collect(name, values);
  }
  const truth = exact[prompt];
  const compared: [string, readonly Numbers[], readonly Numbers[] | undefined][] = [
    ["embeddings", truth.embeddings, embeddings],
    ...truth.layers.map((rows, layer): [string, readonly Numbers[], readonly Numbers[] | undefined] => [
      `layers.${layer}`,
      rows,
      layer_outputs?.[layer],
    ]),
    ["final_norm", truth.finalNorm, final_norm],
    ["logits", truth.logits, all_logits],
  ];
  expect([...found.keys()].sort()).toEqual(compared.map(([name]) => name).sort());
  for (const [name, rows, theirs] of compared) {
    const expected = flatten(rows);
    const own = theirs === undefined ? relative * largest(expected) : distance(flatten(theirs), expected);
    const what = `${executable.device.description}, prompt ${prompt} in passes of ${size}, ${name}`;
    expectWithin(found.get(name) ?? [], expected, name === "embeddings" ? 0 : FACTOR * own, what);
  }
}

/** The logits after the last token of a prompt, prefilled in passes of at most `size` rows. */
export async function expectLastLogits(
  executable: Executable,
  { prompts, exact, distant }: ExactGolden,
  { prompt, size = executable.maxRows }: { prompt: number; size?: number },
): Promise<void> {
  const logits = await prefill(executable, prompts[prompt].input_ids, { size });
  const what = `${executable.device.description}, prompt ${prompt} in passes of ${size}`;
  expectWithin(logits, exact[prompt].logits.at(-1) ?? [], FACTOR * distant, what);
}

/** The greedy tokens after a prompt, itself in passes of at most `size` rows. */
export async function expectGreedy(
  executable: Executable,
  { prompts }: GoldenModel,
  { prompt, size, slot, count = 32 }: { prompt: number; size?: number; slot?: number; count?: number },
): Promise<void> {
  const { input_ids, greedy: expected, greedy_min_margin } = prompts[prompt];
  expect(greedy_min_margin).toBeGreaterThan(LEAST_MARGIN);
  expect(await greedy(executable, input_ids, count, { size, slot })).toEqual(expected.slice(0, count));
}
