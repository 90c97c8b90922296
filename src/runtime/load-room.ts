/** Room for a program among others that share memory. */
import type { MemoryUse } from "./backend.ts";
import { leastBytes } from "./memory-check.ts";

/** What a program needs, told before anything of it is allocated. */
export interface RoomNeed {
  /** Bytes of weights, work and the KV cache when it is full. */
  readonly bytes: number;
  /** Bytes of this machine's memory without which loading makes no sense: weights and a short conversation. 0 on a GPU. */
  readonly machineBytes: number;
}

/** Gives out memory that several programs share. */
export interface LoadRoom {
  /** Bytes that all of them may take together; undefined: as many as there are. */
  readonly budget: number | undefined;
  /**
   * Called once for a device that is tried. Resolves when the program may be loaded: what it needs is kept for it from then on,
   * and nobody else is let in before the load has ended.
   *
   * @returns bytes that the program may take, at least `need.bytes`; Infinity where there is no budget
   * @throws what ends the load instead; AbortError
   */
  reserve(need: RoomNeed, signal: AbortSignal | undefined): Promise<number>;
}

/** Bytes of all that a program takes when its KV cache is full. */
export function allBytes({
  weightBytes,
  workBytes,
  kvCacheBytes,
}: Omit<MemoryUse, "weightBytesPerToken">): number {
  return weightBytes + workBytes + kvCacheBytes;
}

/** What a program on the CPU needs. */
export function cpuNeed(memory: MemoryUse, contextLength: number): RoomNeed {
  return { bytes: allBytes(memory), machineBytes: leastBytes(memory, contextLength) };
}
