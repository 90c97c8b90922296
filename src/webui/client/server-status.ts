/** What the server holds and does, in words and numbers for people. */
import type { WireMemory, WireServerModel, WireTask } from "./wire.ts";

/** Milliseconds over which the server's rate is measured. */
const WINDOW = 10_000;

/** Measures the tokens per second of all runs of a server from looks at its tasks. */
export class Throughput {
  /** Tokens of each task at the last look. */
  #known = new Map<string, number>();
  #samples: { readonly at: number; readonly tokens: number }[] = [];

  /** Takes a look: the tasks at a time in milliseconds, on a clock that does not go back. */
  look(tasks: readonly WireTask[], at: number): void {
    const counts = new Map(tasks.map((task) => [task.task_id, tokensOf(task)]));
    const news = [...counts].map(([id, count]) => Math.max(0, count - (this.#known.get(id) ?? 0)));
    this.#samples.push({ at, tokens: news.reduce((sum, each) => sum + each, 0) });
    this.#known = counts;
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) < at - WINDOW) {
      this.#samples.shift();
    }
  }

  /** Tokens per second over the last looks; undefined before there are two. */
  get rate(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) {
      return undefined;
    }
    // What was written before the first look took nobody knows how long.
    const tokens = this.#samples.slice(1).reduce((sum, sample) => sum + sample.tokens, 0);
    return (1000 * tokens) / (last.at - first.at);
  }
}

function tokensOf({ tokens, usage }: WireTask): number {
  return tokens ?? usage?.completion_tokens ?? 0;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** A number of bytes with three digits at most: "6.15 GB", "940 MB". */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? "B"}`;
}

/** How much memory all models take, and of how much they may. */
export function sharedMemoryText({ held_bytes: held, budget_bytes: budget }: WireMemory): string {
  return budget === undefined ? bytesText(held) : `${bytesText(held)} of ${bytesText(budget)}`;
}

/** How much memory a model takes, in words; undefined: nobody knows. */
export function memoryText({ memory }: WireServerModel): string | undefined {
  if (memory === undefined) {
    return undefined;
  }
  const { weight_bytes: weights, kv_cache_bytes: cache, work_bytes: work } = memory;
  return `${bytesText(weights)} weights, up to ${bytesText(cache)} KV cache, ${bytesText(work)} work`;
}

/** A duration in words: "3 d 4 h", "12 min", "5 s". */
export function durationText(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes === 0) {
    return `${Math.max(0, Math.floor(seconds))} s`;
  }
  if (hours === 0) {
    return `${minutes} min`;
  }
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
