/** What one way of choosing tokens (decoding, beam search) begins with, where its pieces go, and what it comes to. */
import type { Chunk } from "./prefill.ts";
import type { FinishReason, StreamPart, Timings, TokenLogprob } from "./types.ts";

/** The rows whose last one's logits choose the first token. */
export interface FirstRows extends Chunk {
  /** The slots of the generation, one for each beam; what comes before the rows is in the first. */
  slots: readonly number[];
  /** Tokens of the prompt that were there already. */
  cached: number;
  /** Tokens of the encoder's input, as in a Pass. */
  sourceLength: number | undefined;
  /** Called as in a Pass, until the first token. */
  onProgress: ((fraction: number) => void) | undefined;
  /** When work on the request began, in milliseconds of performance.now(). */
  start: number;
}

/** Where the pieces of a generation go. */
export interface Sink {
  emit: (part: StreamPart) => void;
  /** Whether somebody wants more; the generation ends when it is false. */
  isOpen: () => boolean;
}

/** A finished sequence. */
export interface OutcomeSequence {
  /** The new token ids. */
  tokens: number[];
  newText: string;
  finishReason: FinishReason;
  /** The stop string that ended it, where that is known. */
  stopString?: string;
  /** Log-probabilities of the tokens, where they are asked for. */
  logprobs?: TokenLogprob[];
  /** The score that a beam search gave the sequence. */
  score?: number;
}

/** What a generation comes to. */
export interface Outcome {
  /** The sequences, best first; at least one. */
  sequences: OutcomeSequence[];
  timings: Timings;
}

/**
 * The figures of a generation.
 *
 * @param promptTokens tokens that were read
 * @param prefillSeconds seconds up to the first token
 * @param decodeSeconds seconds from the first token to the last
 */
export function timingsOf(
  promptTokens: number,
  prefillSeconds: number,
  decodeSeconds: number,
  newTokens: number,
): Timings {
  return {
    timeToFirstTokenSeconds: prefillSeconds,
    prefillSeconds,
    decodeSeconds,
    prefillTokensPerSecond: rate(promptTokens, prefillSeconds),
    decodeTokensPerSecond: rate(newTokens - 1, decodeSeconds),
  };
}

function rate(count: number, seconds: number): number {
  return count > 0 && seconds > 0 ? count / seconds : 0;
}
