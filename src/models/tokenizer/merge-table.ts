/** Which neighbouring symbols byte-pair encoding merges, in which order, and into what. */

/** Merges by rank, with a hash table from pairs to ranks. It is data only, and can be sent to another thread. */
export interface MergeTable {
  /** The left symbol of each merge, by rank; likewise the right one, and what they become. */
  readonly lefts: Int32Array;
  readonly rights: Int32Array;
  readonly results: Int32Array;
  /** Open addressing: one more than a rank, 0 where nothing is. A power of two, at least twice the merges. */
  readonly slots: Int32Array;
  readonly seed: number;
}

/** A chain of slots longer than this is no chance: the hash is changed. */
const LONGEST_CHAIN = 256;

/**
 * Makes the table. Of merges of the same pair the last counts.
 *
 * @param lefts, rights, results symbols of the merges by rank, non-negative integers
 */
export function mergeTable(lefts: Int32Array, rights: Int32Array, results: Int32Array): MergeTable {
  let capacity = 16;
  while (capacity < 2 * lefts.length) {
    capacity *= 2;
  }
  for (;;) {
    // The seed is random, so that no file can be made whose pairs all fall into one slot.
    const seed = Math.trunc(Math.random() * 2 ** 31);
    const table = { lefts, rights, results, slots: new Int32Array(capacity), seed };
    if (fill(table)) {
      return table;
    }
  }
}

function fill(table: MergeTable): boolean {
  const { lefts, rights, slots } = table;
  const mask = slots.length - 1;
  for (let rank = 0; rank < lefts.length; rank++) {
    const [left = 0, right = 0] = [lefts[rank], rights[rank]];
    let slot = hash(left, right, table.seed) & mask;
    let chain = 0;
    for (let taken = slots[slot] ?? 0; taken !== 0; taken = slots[slot] ?? 0) {
      if (lefts[taken - 1] === left && rights[taken - 1] === right) {
        break;
      }
      if (++chain > LONGEST_CHAIN) {
        return false;
      }
      slot = (slot + 1) & mask;
    }
    slots[slot] = rank + 1;
  }
  return true;
}

/** The rank of the merge of two symbols; -1 if they are not merged. */
export function rankOf({ lefts, rights, slots, seed }: MergeTable, left: number, right: number): number {
  const mask = slots.length - 1;
  for (let slot = hash(left, right, seed) & mask; ; slot = (slot + 1) & mask) {
    const rank = (slots[slot] ?? 0) - 1;
    if (rank < 0 || (lefts[rank] === left && rights[rank] === right)) {
      return rank;
    }
  }
}

/** Mixes two symbols: the finaliser of MurmurHash3 over a sum of both. */
function hash(left: number, right: number, seed: number): number {
  let h = Math.imul(left ^ seed, 0x9e3779b1) + Math.imul(right, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
