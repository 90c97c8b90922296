/** Compares what a model needs with what the machine can give, before anything is loaded. */
import { ModelComposeError } from "../base/errors.ts";
import { formatBytes } from "../base/bytes.ts";
import type { Quantization } from "./held-formats.ts";
import { availableMemory } from "./platform/system.ts";

/** Bytes that a model needs. */
export interface MemoryNeed {
  weightBytes: number;
  /** Bytes of the whole KV cache; committed token by token. */
  kvCacheBytes: number;
  /** Bytes of activations and scratch; mostly committed by long prompts. */
  workBytes: number;
}

/** What a model would need in another precision. */
export interface MemoryAlternative {
  readonly quantization: Quantization;
  readonly need: MemoryNeed;
}

/** What a comparison with memory goes by. */
export interface MemoryCheck {
  /** Bytes of memory that can be had. Default: what this machine has. */
  readonly available?: number;
  /** Precisions that take less; an error names what they need. */
  readonly alternatives?: readonly MemoryAlternative[];
}

/** The fewest tokens for which there must be room: with less, loading makes no sense. */
const LEAST_TOKENS = 256;

/**
 * Throws "out-of-memory" when the weights and a short conversation do not fit. Returns a notice when the whole context
 * would not fit, else undefined.
 *
 * @param contextLength positions of the KV cache
 * @param check what there is, and what else the model could be loaded as
 */
export function checkMemory(
  need: MemoryNeed,
  contextLength: number,
  { available = availableMemory(), alternatives = [] }: MemoryCheck = {},
): string | undefined {
  const perToken = need.kvCacheBytes / contextLength;
  const leastTokens = Math.min(LEAST_TOKENS, contextLength);
  const least = leastBytes(need, contextLength);
  if (least > available) {
    throw new ModelComposeError(
      "out-of-memory",
      `The model needs ${formatBytes(need.weightBytes)} for its weights and ${formatBytes(perToken * leastTokens)} for ` +
        `the KV cache of ${leastTokens} tokens; ${formatBytes(available)} of memory is available, ` +
        `${formatBytes(least - available)} too little.`,
      {
        remedy: remedyOf(alternatives, contextLength, available),
        parameter: "contextLength",
      },
    );
  }
  const all = need.weightBytes + need.workBytes + need.kvCacheBytes;
  if (all <= available) {
    return undefined;
  }
  const tokens = Math.max(
    leastTokens,
    Math.floor((available - need.weightBytes - need.workBytes) / perToken),
  );
  return (
    `The KV cache of the whole context (${contextLength} tokens) needs ${formatBytes(need.kvCacheBytes)}; the memory ` +
    `available is enough for about ${tokens} tokens.`
  );
}

/** Whether the weights and a short conversation fit: otherwise `checkMemory` throws. */
export function hasRoom(need: MemoryNeed, contextLength: number, available = availableMemory()): boolean {
  return leastBytes(need, contextLength) <= available;
}

/** Whether weights, work and the whole context fit. */
export function fitsMemory(need: MemoryNeed, contextLength: number, available = availableMemory()): boolean {
  const { weightBytes, workBytes, kvCacheBytes } = need;
  return hasRoom(need, contextLength, available) && weightBytes + workBytes + kvCacheBytes <= available;
}

/** Bytes of the weights and a short conversation. */
export function leastBytes({ weightBytes, kvCacheBytes }: MemoryNeed, contextLength: number): number {
  return weightBytes + (kvCacheBytes / contextLength) * Math.min(LEAST_TOKENS, contextLength);
}

function remedyOf(
  alternatives: readonly MemoryAlternative[],
  contextLength: number,
  available: number,
): string {
  const fits = alternatives.filter(({ need }) => hasRoom(need, contextLength, available));
  if (fits.length > 0) {
    const names = fits.map(
      ({ quantization, need }) => `"${quantization}" needs ${formatBytes(leastBytes(need, contextLength))}`,
    );
    return `Load it quantised (quantization): ${names.join(", ")}. Or close other programs, or use a smaller model.`;
  }
  return "Close other programs, lower the context length (contextLength), or use a smaller model.";
}

/**
 * Throws "out-of-memory" when a model with its whole context does not fit into the budget that models share, even if it had it
 * for itself.
 *
 * @param budget bytes that all models together may take
 * @param alternatives precisions that take less
 */
export function checkBudget(
  need: MemoryNeed,
  contextLength: number,
  budget: number,
  alternatives: readonly MemoryAlternative[] = [],
): void {
  const fixed = need.weightBytes + need.workBytes;
  const all = fixed + need.kvCacheBytes;
  if (all <= budget) {
    return;
  }
  const tokens = Math.floor((budget - fixed) / (need.kvCacheBytes / contextLength));
  const ways = alternatives
    .map(({ quantization, need: other }) => ({
      quantization,
      bytes: other.weightBytes + other.workBytes + other.kvCacheBytes,
    }))
    .filter(({ bytes }) => bytes <= budget)
    .map(({ quantization, bytes }) => `"${quantization}" needs ${formatBytes(bytes)}`);
  const remedies = [
    "Raise the budget (memory_budget)",
    ...(tokens >= Math.min(LEAST_TOKENS, contextLength)
      ? [`lower the context length (contextLength) to at most ${tokens} tokens`]
      : []),
    ...(ways.length > 0 ? [`load it quantised (quantization): ${ways.join(", ")}`] : []),
    "use a smaller model",
  ];
  throw new ModelComposeError(
    "out-of-memory",
    `The model needs ${formatBytes(all)}: ${formatBytes(need.weightBytes)} for its weights, ` +
      `${formatBytes(need.kvCacheBytes)} for the KV cache of ${contextLength} tokens, ${formatBytes(need.workBytes)} for ` +
      `its work; the memory budget of all models is ${formatBytes(budget)}, ${formatBytes(all - budget)} too little.`,
    { remedy: `${remedies.slice(0, -1).join(", ")}, or ${remedies.at(-1)}.` },
  );
}

/**
 * Throws "out-of-memory" when a model does not fit into the budget for GPU memory. WebGPU does not tell how much there
 * is, and buffers are allocated whole: without a budget, only the allocations themselves can fail.
 *
 * @param budget bytes that the model may take; undefined: nothing is checked
 * @param device name of the device, for the message
 */
export function checkGpuMemory(
  need: MemoryNeed,
  contextLength: number,
  budget: number | undefined,
  device: string,
): void {
  const fixed = need.weightBytes + need.workBytes;
  const all = fixed + need.kvCacheBytes;
  if (budget === undefined || all <= budget) {
    return;
  }
  const tokens = Math.floor((budget - fixed) / (need.kvCacheBytes / contextLength));
  throw new ModelComposeError(
    "out-of-memory",
    `The model needs ${formatBytes(all)} on ${device}: ${formatBytes(need.weightBytes)} for its weights, ` +
      `${formatBytes(need.kvCacheBytes)} for the KV cache of ${contextLength} tokens, ${formatBytes(need.workBytes)} for ` +
      `its work; the budget for GPU memory is ${formatBytes(budget)}, ${formatBytes(all - budget)} too little.`,
    {
      remedy:
        tokens >= Math.min(LEAST_TOKENS, contextLength)
          ? `Raise the budget (gpuMemory), or lower the context length (contextLength) to at most ${tokens} tokens.`
          : 'Raise the budget (gpuMemory), use a smaller model, or use the device "wasm" (the CPU).',
      parameter: "gpuMemory",
    },
  );
}
