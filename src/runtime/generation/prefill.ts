/** How a prompt is read: in chunks, with progress. */
import type { Executable, Pass } from "../backend.ts";
import { ENCODE } from "../program.ts";

const REPORT_MILLISECONDS = 200;

/** Consecutive tokens of one sequence. */
export interface Chunk {
  /** [R] token ids. */
  rows: Int32Array;
  /** Position of the first token. */
  position: number;
}

/** Pieces of at most `size` tokens and where each begins. */
export function chunksOf(ids: Int32Array, size: number): Chunk[] {
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, i) => ({
    rows: ids.slice(i * size, (i + 1) * size),
    position: i * size,
  }));
}

/** The pass that computes consecutive tokens of a slot's sequence. */
export function passOf({ rows, position }: Chunk, slot: number): Pass {
  return {
    tokens: rows,
    slots: new Int32Array(rows.length).fill(slot),
    positions: rows.map((_, r) => position + r),
  };
}

/** Runs an encoder over its input, which must fit in the context. */
export async function encode(
  executable: Executable,
  ids: Int32Array,
  report: PrefillReport | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  await executable.run(
    {
      ...passOf({ rows: ids, position: 0 }, 0),
      entry: ENCODE,
      sourceLength: ids.length,
      onProgress: report?.within(0, ids.length),
    },
    signal,
  );
  report?.after(ids.length);
}

/**
 * Turns the progress of chunks into that of a prompt. A device reports in the middle of long chunks; this adds the ends
 * of short ones.
 */
export class PrefillReport {
  readonly #onPrefill: ((progress: { done: number; total: number }) => void) | undefined;
  readonly #total: number;
  #reportedAt = performance.now();

  constructor(onPrefill: ((progress: { done: number; total: number }) => void) | undefined, total: number) {
    this.#onPrefill = onPrefill;
    this.#total = total;
  }

  /** What a device calls in a chunk of `rows` tokens from `position` on. */
  within(position: number, rows: number): ((fraction: number) => void) | undefined {
    if (this.#onPrefill === undefined) {
      return undefined;
    }
    return (fraction) => {
      this.#report(position + Math.floor(rows * fraction));
    };
  }

  after(done: number): void {
    if (performance.now() - this.#reportedAt >= REPORT_MILLISECONDS) {
      this.#report(done);
    }
  }

  #report(done: number): void {
    this.#reportedAt = performance.now();
    this.#onPrefill?.({ done, total: this.#total });
  }
}
