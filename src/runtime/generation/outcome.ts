/** What one way of choosing tokens (decoding, beam search) begins with, where its pieces go, and what it comes to. */
import type { Chunk } from "./prefill.ts";
import type { FinishReason, StreamPart, Timings } from "./types.ts";

/** The rows whose last one's logits choose the first token. */
export interface FirstRows extends Chunk {
  /** As of a Pass. */
  sourceLength: number | undefined;
  /** As of a Pass, until the first token. */
  onProgress: ((fraction: number) => void) | undefined;
  /** When work began, by performance.now(). */
  start: number;
}

/** Where the pieces of a generation go. */
export interface Sink {
  emit: (part: StreamPart) => void;
  /** False: nobody wants more, the generation ends. */
  isOpen: () => boolean;
}

/** A finished sequence. */
export interface OutcomeSequence {
  /** The new ones. */
  tokens: number[];
  newText: string;
  finishReason: FinishReason;
  /** Of a beam search. */
  score?: number;
}

export interface Outcome {
  /** Best first; at least one. */
  sequences: OutcomeSequence[];
  timings: Timings;
}

/**
 * @param prefillSeconds up to the first token
 * @param decodeSeconds from the first token to the last
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
