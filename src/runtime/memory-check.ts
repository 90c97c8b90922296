/** Compares what a model needs with what the machine can give, before anything is loaded. */
import { ModelComposeError } from "./errors.ts";
import { availableMemory } from "./platform/system.ts";

export interface MemoryNeed {
  weightBytes: number;
  /** Of the whole KV cache; committed token by token. */
  kvCacheBytes: number;
  /** Activations and scratch; mostly committed by long prompts. */
  workBytes: number;
}

/** Tokens for which there must be room, or loading makes no sense. */
const LEAST_TOKENS = 256;

/**
 * Throws "out-of-memory" when the weights and a short conversation do not fit. Returns a notice when the whole context
 * would not fit, else undefined.
 */
export function checkMemory(
  need: MemoryNeed,
  contextLength: number,
  available: number = availableMemory(),
): string | undefined {
  const perToken = need.kvCacheBytes / contextLength;
  const leastTokens = Math.min(LEAST_TOKENS, contextLength);
  const least = need.weightBytes + perToken * leastTokens;
  if (least > available) {
    throw new ModelComposeError(
      "out-of-memory",
      `The model needs ${gigabytes(need.weightBytes)} for its weights and ${gigabytes(perToken * leastTokens)} for ` +
        `the KV cache of ${leastTokens} tokens; ${gigabytes(available)} of memory is available, ` +
        `${gigabytes(least - available)} too little.`,
      {
        remedy:
          "Close other programs, lower the context length (max_output_length in a compose file), or use a smaller model.",
      },
    );
  }
  const all = need.weightBytes + need.workBytes + need.kvCacheBytes;
  if (all <= available) return undefined;
  const tokens = Math.max(
    leastTokens,
    Math.floor((available - need.weightBytes - need.workBytes) / perToken),
  );
  return (
    `The KV cache of the whole context (${contextLength} tokens) needs ${gigabytes(need.kvCacheBytes)}; the memory ` +
    `available is enough for about ${tokens} tokens.`
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
