/** Results of beam search: what transformers gave, and how near ours must be. */
import { expect } from "vitest";
import type { GenerateResult } from "../../src/runtime/generation/types.ts";
import { goldenPath } from "./golden-folder.ts";
import { readGoldenPrompts, type GoldenPrompt } from "./golden-results.ts";

/** A sequence that transformers found. */
export interface Expected {
  /** Ids of the new tokens. */
  ids: number[];
  /** Score of the sequence in a beam search. */
  score?: number;
}

/**
 * Compares results. Scores are sums of rounded logarithms, and may be off by a few units in the last place for each
 * token.
 */
export function expectResults(found: GenerateResult, expected: readonly Expected[]): void {
  const sequences = found.sequences ?? [{ tokens: found.tokens, score: undefined }];
  expect(sequences.map(({ tokens }) => tokens)).toEqual(expected.map(({ ids }) => ids));
  expect(found.tokens).toEqual(expected[0].ids);
  for (const [i, { score = 0 }] of sequences.entries()) {
    const wanted = expected[i].score ?? 0;
    expect(Math.abs(score - wanted)).toBeLessThanOrEqual(Math.abs(wanted) * 1e-5);
  }
}

/** A prompt of an encoder–decoder. */
export type Seq2seqPrompt = GoldenPrompt & Required<Pick<GoldenPrompt, "decoder_input_ids" | "beam4">>;

/** The prompts of an encoder–decoder's goldens. */
export function seq2seqPrompts(name: string): Seq2seqPrompt[] {
  return readGoldenPrompts(goldenPath(name)).map(({ decoder_input_ids, beam4, ...prompt }) => {
    if (decoder_input_ids === undefined || beam4 === undefined) {
      throw new Error(`The goldens of ${name} have no decoder_input_ids or no beam4.`);
    }
    return { ...prompt, decoder_input_ids, beam4 };
  });
}
