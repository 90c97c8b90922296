/** The pieces of a Unigram vocabulary as a trie over UTF-16 code units, with their scores. */

/** A trie with a hash table from (node, code unit) to nodes. It is data only, and can be sent to another thread. */
export interface PieceTrie {
  /** The node that each node hangs on, and by which code unit. Node 0 is the root. */
  readonly parents: Int32Array;
  readonly units: Uint16Array;
  /** The id of the piece that ends at each node; -1 for none. */
  readonly ids: Int32Array;
  /** The score of each id, a log probability. */
  readonly scores: Float64Array;
  /** Open addressing: nodes, 0 where nothing is. A power of two, at least twice the nodes. */
  readonly slots: Int32Array;
  readonly seed: number;
}

/** A chain of slots longer than this is no chance: the hash is changed. */
const LONGEST_CHAIN = 256;

/**
 * Makes the trie. Of equal pieces the last counts.
 *
 * @param pieces by id
 * @param scores by id
 */
export function pieceTrie(pieces: readonly string[], scores: Float64Array): PieceTrie {
  const most = 1 + pieces.reduce((sum, piece) => sum + piece.length, 0);
  let capacity = 16;
  while (capacity < 2 * most) {
    capacity *= 2;
  }
  for (;;) {
    // The seed is random, so that no file can be made whose nodes all fall into one slot.
    const seed = Math.trunc(Math.random() * 2 ** 31);
    const room = {
      parents: new Int32Array(most),
      units: new Uint16Array(most),
      ids: new Int32Array(most).fill(-1),
      scores,
      slots: new Int32Array(capacity),
      seed,
    };
    const nodes = fill(room, pieces);
    if (nodes !== undefined) {
      const [parents, units, ids] = [room.parents, room.units, room.ids].map((all) =>
        all.slice(0, nodes),
      ) as [Int32Array, Uint16Array, Int32Array];
      return { ...room, parents, units, ids };
    }
  }
}

/** Adds all pieces. @returns the number of nodes; undefined where a chain of slots became too long */
function fill(
  { parents, units, ids, slots, seed }: PieceTrie,
  pieces: readonly string[],
): number | undefined {
  const mask = slots.length - 1;
  let nodes = 1;
  for (const [id, piece] of pieces.entries()) {
    let node = 0;
    for (let i = 0; i < piece.length; i++) {
      const unit = piece.charCodeAt(i);
      let slot = hash(node, unit, seed) & mask;
      let chain = 0;
      let next = slots[slot] ?? 0;
      while (next !== 0 && !(parents[next] === node && units[next] === unit)) {
        if (++chain > LONGEST_CHAIN) {
          return undefined;
        }
        slot = (slot + 1) & mask;
        next = slots[slot] ?? 0;
      }
      if (next === 0) {
        next = nodes++;
        parents[next] = node;
        units[next] = unit;
        slots[slot] = next;
      }
      node = next;
    }
    // The empty piece is never found.
    if (node !== 0) {
      ids[node] = id;
    }
  }
  return nodes;
}

/** The node that hangs on another by a code unit; 0 for none. */
export function childOf({ parents, units, slots, seed }: PieceTrie, node: number, unit: number): number {
  const mask = slots.length - 1;
  for (let slot = hash(node, unit, seed) & mask; ; slot = (slot + 1) & mask) {
    const next = slots[slot] ?? 0;
    if (next === 0 || (parents[next] === node && units[next] === unit)) {
      return next;
    }
  }
}

/** Mixes a node and a code unit: the finaliser of MurmurHash3 over a sum of both. */
function hash(node: number, unit: number, seed: number): number {
  let h = Math.imul(node ^ seed, 0x9e3779b1) + Math.imul(unit, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
