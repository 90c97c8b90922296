/**
 * Which of a worker's blocks of the KV cache hold which positions. Block b of every sequence lies with worker b mod threads, in
 * one of that worker's pool, at the same place in every layer. Blocks are taken when their first position is about to be
 * written, and shared by sequences that were forked: whoever writes into a shared one gets a copy of its own first.
 *
 * What sequences may take in all is counted before a pass begins (kv-ledger.ts), so the pool is never empty.
 */
import { KV_BLOCK, type KvPlacement, type MemoryPlan } from "./plan.ts";

/** Bytes of the table of all slots, which the workers share. */
export function tableBytes({ slots, blocks }: Pick<MemoryPlan, "slots" | "blocks">): number {
  return slots * blocks * 4;
}

/** What a pass writes. */
interface Rows {
  readonly rows: number;
  readonly slots: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
}

export interface KvBlocksParts {
  readonly plan: Pick<MemoryPlan, "threads" | "slots" | "blocks" | "poolBlocks" | "blockBytes" | "kv">;
  readonly index: number;
  /** The worker's memories, by bank. */
  readonly memories: readonly Uint8Array[];
  /** [slots, blocks] places in the pool of each block's owner, shared by all workers: each writes those of its own blocks. */
  readonly table: Int32Array;
}

export class KvBlocks {
  readonly #parts: KvBlocksParts;
  /** Blocks that the worker holds of each slot's sequence: the first so many of those that are its own. */
  readonly #held: number[];
  /** How many sequences have each block of the pool. */
  readonly #owners: Uint16Array;
  /** Free places, the next one last. */
  readonly #free: number[];

  constructor(parts: KvBlocksParts) {
    const { slots, poolBlocks } = parts.plan;
    this.#parts = parts;
    this.#held = new Array<number>(slots).fill(0);
    this.#owners = new Uint16Array(poolBlocks);
    this.#free = Array.from({ length: poolBlocks }, (_, i) => poolBlocks - 1 - i);
  }

  /** Address of a block of a slot, in its owner's memory. */
  address({ offset, isSource }: KvPlacement, slot: number, block: number): number {
    const { threads, blocks, blockBytes } = this.#parts.plan;
    const place = isSource ? Math.floor(block / threads) : this.#parts.table[slot * blocks + block];
    return offset + place * blockBytes;
  }

  /** Makes room for what a pass writes. Before a sequence's first row, what lies behind it is given back. */
  reserve({ rows, slots, positions }: Rows): void {
    for (let r = 0; r < rows; r++) {
      const slot = slots[r];
      const block = Math.floor(positions[r] / KV_BLOCK);
      const isFirst = r === 0 || slots[r - 1] !== slot;
      if (isFirst) {
        this.#give(slot, this.#ownCount(block + 1));
      }
      if (isFirst || positions[r] % KV_BLOCK === 0) {
        this.#own(slot, block);
      }
    }
  }

  /** Makes `to` the same sequence as the first `length` positions of `from`, without copying anything. */
  fork(from: number, to: number, length: number): void {
    const count = this.#ownCount(Math.ceil(length / KV_BLOCK));
    if (from === to) {
      this.#give(to, count);
      return;
    }
    this.#give(to, 0);
    for (let i = 0; i < count; i++) {
      const place = this.#parts.table[this.#entry(from, i)];
      this.#parts.table[this.#entry(to, i)] = place;
      this.#owners[place]++;
    }
    this.#held[to] = count;
  }

  /** Gives back the blocks that have no position before `length`. */
  truncate(slot: number, length: number): void {
    this.#give(slot, this.#ownCount(Math.ceil(length / KV_BLOCK)));
  }

  /** Copies of the worker's blocks of a slot's first positions, by layer. */
  save(slot: number, length: number): Uint8Array[] {
    const { blockBytes } = this.#parts.plan;
    const count = this.#ownCount(Math.ceil(length / KV_BLOCK));
    return this.#layers().map(({ offset, memory }) => {
      const kept = new Uint8Array(count * blockBytes);
      for (let i = 0; i < count; i++) {
        const from = offset + this.#parts.table[this.#entry(slot, i)] * blockBytes;
        kept.set(memory.subarray(from, from + blockBytes), i * blockBytes);
      }
      return kept;
    });
  }

  /** Puts what `save` gave into a slot. */
  restore(kept: readonly Uint8Array[], slot: number): void {
    const { blockBytes } = this.#parts.plan;
    const count = (kept[0]?.length ?? 0) / blockBytes;
    this.#give(slot, 0);
    for (let i = 0; i < count; i++) {
      this.#take(slot);
    }
    for (const [layer, { offset, memory }] of this.#layers().entries()) {
      for (let i = 0; i < count; i++) {
        const bytes = kept[layer].subarray(i * blockBytes, (i + 1) * blockBytes);
        memory.set(bytes, offset + this.#parts.table[this.#entry(slot, i)] * blockBytes);
      }
    }
  }

  /** The worker's blocks among the first `blocks` of a sequence. */
  #ownCount(blocks: number): number {
    const { index, plan } = this.#parts;
    return Math.max(0, Math.ceil((blocks - index) / plan.threads));
  }

  /** Place in the table of the worker's block number i of a slot. */
  #entry(slot: number, i: number): number {
    const { index, plan } = this.#parts;
    return slot * plan.blocks + index + i * plan.threads;
  }

  /** Makes a block of a slot one that can be written, if it is the worker's, with all that come before it. */
  #own(slot: number, block: number): void {
    const { index, plan, table } = this.#parts;
    const count = this.#ownCount(block + 1);
    while (this.#held[slot] < count) {
      this.#take(slot);
    }
    if (block % plan.threads !== index) {
      return;
    }
    const entry = this.#entry(slot, count - 1);
    const shared = table[entry];
    if (this.#owners[shared] === 1) {
      return;
    }
    const place = this.#next();
    for (const { offset, memory } of this.#layers()) {
      const from = offset + shared * plan.blockBytes;
      memory.copyWithin(offset + place * plan.blockBytes, from, from + plan.blockBytes);
    }
    this.#owners[shared]--;
    table[entry] = place;
  }

  /** Adds one of the worker's blocks to a slot. */
  #take(slot: number): void {
    this.#parts.table[this.#entry(slot, this.#held[slot])] = this.#next();
    this.#held[slot]++;
  }

  #next(): number {
    const place = this.#free.pop();
    if (place === undefined) {
      throw new Error(`All ${this.#parts.plan.poolBlocks} blocks of the KV cache are taken.`);
    }
    this.#owners[place] = 1;
    return place;
  }

  /** Gives back all of the worker's blocks of a slot but the first `count`. */
  #give(slot: number, count: number): void {
    while (this.#held[slot] > count) {
      this.#held[slot]--;
      const place = this.#parts.table[this.#entry(slot, this.#held[slot])];
      if (--this.#owners[place] === 0) {
        this.#free.push(place);
      }
    }
  }

  /** The layers whose sequences differ from slot to slot. */
  #layers(): { offset: number; memory: Uint8Array }[] {
    const { plan, memories } = this.#parts;
    return plan.kv
      .filter(({ isSource }) => !isSource)
      .map(({ bank, offset }) => ({ offset, memory: memories[bank] }));
  }
}
