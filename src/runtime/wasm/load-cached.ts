/** Loading through the cache of quantised weights: read what is kept, or keep what was made. */
import { errorMessage } from "../../base/errors.ts";
import { isQuantized } from "../../kernels/format.ts";
import type { Quantization } from "../held-formats.ts";
import {
  cacheKey,
  createCacheFile,
  findCacheFile,
  type CacheSource,
  type Sums,
} from "../platform/quantized-cache.ts";
import { cachedBytes } from "./cached-weights.ts";
import type { MemoryPlan } from "./plan.ts";
import type { LoadCommand, Reply } from "./protocol.ts";

/** What a plan's quantised matrices are made from; undefined where it has none. */
export function cacheSourceOf(
  plan: MemoryPlan,
  { quantization, label, files }: { quantization: Quantization; label: string; files: readonly string[] },
): CacheSource | undefined {
  const matrices = Object.entries(plan.matrices)
    .filter(([, { format }]) => isQuantized(format))
    .map(([name, { format, rows, columns, source }]) => {
      const { tensor, transposed, ranges } = source;
      const { name: stored, dtype, offset, shape, strides } = tensor;
      return {
        name,
        made: [format, rows, columns, stored, dtype, offset, shape, strides ?? null, transposed, ranges],
        bytes: cachedBytes(format, rows, columns),
      };
    });
  return matrices.length === 0 ? undefined : { quantization, label, files, matrices, layout: "panels" };
}

export interface CachedLoad {
  /** Gives all workers the command. */
  readonly load: (command: LoadCommand) => Promise<Reply[]>;
  /** Called with the names of the matrices that come from the cache. */
  readonly onRead?: (names: readonly string[]) => void;
  readonly onNotice: ((line: string) => void) | undefined;
}

/** Loads. What goes wrong with the cache is told, and the weights are made from the checkpoint; other errors are thrown. */
export async function loadThroughCache(
  source: CacheSource,
  { load, onRead, onNotice }: CachedLoad,
): Promise<void> {
  const key = await cacheKey(source);
  const found = await findCacheFile(source, key);
  if (found !== undefined) {
    const { path, places } = found;
    onRead?.(Object.keys(places));
    const sums = sumsOf(await load({ kind: "load", read: { path, places } }));
    if (source.matrices.every(({ name }) => sums[name] === found.sums[name])) {
      return;
    }
    onRead?.([]);
    await found.discard();
    onNotice?.(`The quantised weights in "${path}" are damaged or gone; they are made anew.`);
  }
  const created = await createCacheFile(source, key);
  if (typeof created === "string") {
    onNotice?.(`The quantised weights are not kept for the next time: ${created}.`);
    await load({ kind: "load" });
    return;
  }
  const { path, places } = created;
  let failure: string | undefined;
  try {
    const replies = await load({ kind: "load", write: { path, places } });
    failure = replies.find(({ cacheFailure }) => cacheFailure !== undefined)?.cacheFailure;
    if (failure === undefined) {
      await created.finish(sumsOf(replies)).catch((error: unknown) => {
        failure = errorMessage(error);
      });
    }
  } catch (error) {
    await created.discard();
    throw error;
  }
  if (failure !== undefined) {
    await created.discard();
    onNotice?.(`The quantised weights are not kept for the next time: ${failure}.`);
  }
}

/** The workers' sums together. */
function sumsOf(replies: readonly Reply[]): Sums {
  const sums: Record<string, number> = {};
  for (const { sums: some = {} } of replies) {
    for (const [name, sum] of Object.entries(some)) {
      sums[name] = ((sums[name] ?? 0) + sum) | 0;
    }
  }
  return sums;
}
