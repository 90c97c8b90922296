/** How many sequences a model has room for beside the one that must fit. */
import type { MemoryUse, MoreSlots } from "./backend.ts";
import type { ResolvedLoad } from "./load-options.ts";
import { availableMemory } from "./platform/system.ts";

/** Sequences where nobody says how many: as many as share a pass on a GPU; a CPU gains from fewer, and keeps the others. */
export const DEFAULT_CONCURRENCY = 16;
/** Bytes for sequences that nobody has asked for: a quarter of what is free, and no more than this. */
const MOST_BYTES = 2 * 2 ** 30;
const FREE_SHARE = 0.25;

/** The same on a GPU, which does not tell what is free. */
const GPU_BYTES = 512 * 2 ** 20;

type Wishes = Partial<Pick<ResolvedLoad, "maxConcurrency" | "kvMemory">>;

/**
 * What a CPU is asked for beside what must be.
 *
 * @param memory what the model takes with room for one sequence (or as many as beams)
 */
export function moreOnCpu(
  { maxConcurrency = DEFAULT_CONCURRENCY, kvMemory }: Wishes,
  { weightBytes, workBytes, kvCacheBytes }: MemoryUse,
  available = availableMemory(),
): MoreSlots {
  const free = Math.max(0, available - weightBytes - workBytes - kvCacheBytes);
  const kvBytes = kvMemory ?? kvCacheBytes + Math.min(MOST_BYTES, Math.floor(FREE_SHARE * free));
  return { slots: maxConcurrency, kvBytes };
}

/** What a GPU is asked for. Where there is a budget for all that the model takes, nothing that nobody has asked for. */
export function moreOnGpu(
  { maxConcurrency, kvMemory }: Wishes,
  gpuMemory: number | undefined,
): MoreSlots | undefined {
  if (gpuMemory !== undefined && maxConcurrency === undefined && kvMemory === undefined) {
    return undefined;
  }
  const kvBytes = kvMemory ?? (maxConcurrency === undefined ? GPU_BYTES : Infinity);
  return { slots: maxConcurrency ?? DEFAULT_CONCURRENCY, kvBytes };
}
