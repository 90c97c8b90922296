/**
 * How near a device must come to golden models: activations and logits as close to the exact result as PyTorch's, and
 * the same greedy tokens.
 */
import { expect } from "vitest";
import type { Executable } from "../../src/runtime/backend.ts";
import {
  encode,
  forwardIds,
  greedy,
  greedyStart,
  openGolden,
  passOf,
  prefill,
  type GoldenModel,
  type GoldenPrompt,
} from "./golden.ts";
import { worstError } from "./numbers.ts";
import { readWeights, referencePass, type ReferencePass } from "./reference-model.ts";

/**
 * How many times as far as PyTorch's f32 goldens our results may be from the exact ones, which the reference computes
 * in f64: the order of our additions is another.
 */
export const FACTOR = 4;

/** The least difference of the two best logits in the goldens, so that greedy tokens do not hang on rounding. */
const LEAST_MARGIN = 0.0025;

type Numbers = ArrayLike<number>;

export const largest = (values: Numbers): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

export const distance = (a: Numbers, b: Numbers): number =>
  largest(Array.from(a, (value, i) => value - b[i]));

const flatten = (rows: readonly Numbers[]): Float64Array =>
  Float64Array.from(rows.flatMap((row) => Array.from(row)));

/** Expects the same bits; a failed toEqual would print every number. */
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
  /** The exact results of every prompt. */
  exact: readonly ReferencePass[];
  /** Largest distance of the goldens' last logits from the exact ones. */
  distant: number;
  /** The same distance as a fraction of the largest logit. */
  relative: number;
}

export async function openExactGolden(name: string): Promise<ExactGolden> {
  const golden = await openGolden(name);
  const weights = readWeights(golden.program, golden.checkpoint);
  const exact = golden.prompts.map((prompt) => referencePass(golden.program, weights, prompt));
  const truths = exact.map(({ logits }) => logits.at(-1) ?? []);
  const distant = Math.max(...golden.prompts.map(({ last_logits }, p) => distance(last_logits, truths[p])));
  return { ...golden, exact, distant, relative: distant / Math.max(...truths.map(largest)) };
}

/**
 * PyTorch's activations [tokens][columns] of the ops that a program traces, by name; the goldens have them of prompt 0
 * only.
 */
export function goldenActivations(
  prompt: GoldenPrompt,
  program: GoldenModel["program"],
): Map<string, number[][]> {
  const found = new Map<string, number[][]>();
  const add = (name: string, rows: number[][] | undefined): void => {
    if (rows !== undefined) {
      found.set(name, rows);
    }
  };
  /**
   * Adds the outputs of a stack. The last of transformers' hidden states is what the stack returns: after its final
   * norm, where it has one.
   */
  const addStack = (prefix: string, states: readonly number[][][] = []): void => {
    const hasFinalNorm = tracesOf(program).has(`${prefix}final_norm`);
    for (const [i, rows] of states.entries()) {
      const isLast = i === states.length - 1;
      add(
        i === 0
          ? `${prefix}embeddings`
          : isLast && hasFinalNorm
            ? `${prefix}final_norm`
            : `${prefix}layers.${i - 1}`,
        rows,
      );
    }
  };
  add("embeddings", prompt.embeddings);
  for (const [layer, rows] of (prompt.layer_outputs ?? []).entries()) {
    add(`layers.${layer}`, rows);
  }
  add("final_norm", prompt.final_norm);
  addStack("encoder.", prompt.encoder_hidden_states);
  addStack("", prompt.decoder_hidden_states);
  add("logits", prompt.all_logits);
  return found;
}

function tracesOf(program: GoldenModel["program"]): Set<string> {
  const ops = [...program.entries.values()].flat().flatMap((group) => group.ops);
  return new Set(ops.flatMap(({ trace }) => trace ?? []));
}

/**
 * Expects every layer's activations and all logits of a prompt, in passes of at most `size` rows. They may be as far
 * off as PyTorch is off at the logits, relative to the largest number, or as far as it is off at the activation itself,
 * where the goldens have that and it is more.
 */
export async function expectActivations(
  executable: Executable,
  { program, prompts, exact, relative }: ExactGolden,
  { prompt = 0, size = executable.maxRows }: { prompt?: number; size?: number } = {},
): Promise<void> {
  const ids = forwardIds(prompts[prompt]);
  const found = new Map<string, number[]>();
  const collect = (name: string, values: Float32Array): void => {
    found.set(name, [...(found.get(name) ?? []), ...values]);
  };
  const { sourceLength, activations: encoded } = await encode(executable, prompts[prompt], true);
  for (const [name, values] of encoded) {
    collect(name, values);
  }
  for (let from = 0; from < ids.length; from += size) {
    const tokens = ids.slice(from, from + size);
    const logitRows = Int32Array.from(tokens.keys());
    const pass = { ...passOf(tokens, from, 0, sourceLength), logitRows, trace: true };
    const { logits, activations } = await executable.run(pass);
    collect("logits", logits);
    for (const [name, values] of activations) {
      collect(name, values);
    }
  }
  const theirs = goldenActivations(prompts[prompt], program);
  const truths = new Map([...exact[prompt].activations, ["logits", exact[prompt].logits]]);
  expect([...found.keys()].sort()).toEqual([...truths.keys()].sort());
  for (const [name, rows] of truths) {
    const expected = flatten(rows);
    const golden = theirs.get(name);
    const shown = golden === undefined ? 0 : distance(flatten(golden), expected);
    const own = Math.max(shown, relative * largest(expected));
    // Numbers that are only looked up, or whose one sum is an f32 number, have no error at all.
    const isExact = name === "embeddings" && expected.every((value) => Math.fround(value) === value);
    const what = `${executable.device.description}, prompt ${prompt} in passes of ${size}, ${name}`;
    expectWithin(found.get(name) ?? [], expected, isExact ? 0 : FACTOR * own, what);
  }
}

/** Expects the logits after the last token of a prompt, prefilled in passes of at most `size` rows. */
export async function expectLastLogits(
  executable: Executable,
  { prompts, exact, distant }: ExactGolden,
  { prompt, size = executable.maxRows }: { prompt: number; size?: number },
): Promise<void> {
  const { sourceLength } = await encode(executable, prompts[prompt]);
  const logits = await prefill(executable, forwardIds(prompts[prompt]), { size, sourceLength });
  const what = `${executable.device.description}, prompt ${prompt} in passes of ${size}`;
  expectWithin(logits, exact[prompt].logits.at(-1) ?? [], FACTOR * distant, what);
}

/** Expects the greedy tokens after a prompt, itself in passes of at most `size` rows. */
export async function expectGreedy(
  executable: Executable,
  { prompts }: GoldenModel,
  { prompt, size, slot, count = 32 }: { prompt: number; size?: number; slot?: number; count?: number },
): Promise<void> {
  const { greedy: expected, greedy_min_margin } = prompts[prompt];
  expect(greedy_min_margin).toBeGreaterThan(LEAST_MARGIN);
  const { sourceLength } = await encode(executable, prompts[prompt]);
  const found = await greedy(executable, greedyStart(prompts[prompt]), count, { size, slot, sourceLength });
  expect(found).toEqual(expected.slice(0, count));
}
