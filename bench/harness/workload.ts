/** What the model is given: random tokens, greedy choice, no end. */
import type { DecodeRequest } from "../../src/runtime/backend.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import { uniform } from "../../src/runtime/sampling/philox.ts";
import type { ResolvedSampling } from "../../src/runtime/sampling/options.ts";

const LEAST_CONTEXT = 512;
/** Positions of a block of the KV cache: a context rounded up to it wastes nothing. */
const CONTEXT_STEP = 64;

export const GREEDY: ResolvedSampling = {
  doSample: false,
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
};

/** `count` token ids, uniform over the vocabulary; the same for the same seed. */
export function randomTokens(count: number, vocabSize: number, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, position) =>
    Math.floor((uniform(seed, position, [0, 0, 0]) / 2 ** 32) * vocabSize),
  );
}

/** Numbers of tokens that a benchmark is asked for. */
export interface Lengths {
  promptTokens: number;
  decodePromptTokens: number;
  newTokens: number;
  /** Capacity of the KV cache that was asked for; undefined: none was. */
  contextLength: number | undefined;
}

/**
 * Capacity of the KV cache in tokens: as asked for, else what the longer prompt and the new tokens need, rounded up.
 * It is not the model's maximum: that would measure the reservation of memory that nothing here uses.
 *
 * @throws ModelComposeError "invalid-argument" when that capacity does not hold the tokens, or is more than the model's
 *   maximum
 */
export function contextLengthFor(lengths: Lengths, maxPositions: number): number {
  const { promptTokens, decodePromptTokens, newTokens, contextLength } = lengths;
  const need = Math.max(promptTokens, decodePromptTokens) + newTokens;
  const rounded = Math.max(LEAST_CONTEXT, Math.ceil(need / CONTEXT_STEP) * CONTEXT_STEP);
  const length = contextLength ?? Math.min(rounded, maxPositions);
  if (length > maxPositions) {
    throw new ModelComposeError(
      "invalid-argument",
      `--context-length is ${length}; the model was made for at most ${maxPositions}.`,
      { remedy: "Lower it or leave it out." },
    );
  }
  if (length < need) {
    throw new ModelComposeError(
      "invalid-argument",
      `A prompt of ${need - newTokens} and ${newTokens} new tokens need a context of ${need}; it is ${length}` +
        `${contextLength === undefined ? ", the model's maximum" : " (--context-length)"}.`,
      { remedy: "Lower --prompt-tokens, --decode-prompt-tokens or --new-tokens." },
    );
  }
  return length;
}

/** A greedy decode in slot 0 from the last token of a prompt whose other tokens are in the cache. */
export function greedyDecode(
  prompt: Int32Array,
  count: number,
  onToken: (token: number) => void,
): DecodeRequest {
  return {
    tokens: prompt.slice(-1),
    slot: 0,
    position: prompt.length - 1,
    count,
    sampling: GREEDY,
    history: prompt,
    eosTokenIds: [],
    minNewTokens: 0,
    sequence: [0, 0, 0],
    // A pass a token is what is measured; random weights repeat themselves, and drafts would gain by it.
    promptLookup: false,
    onToken: (token) => {
      onToken(token);
      return true;
    },
  };
}
