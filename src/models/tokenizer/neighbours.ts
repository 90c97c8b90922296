/**
 * Which characters stand beside each other within a token. Where two do not, nothing can be merged over the border between
 * them, and a word can be encoded in parts: texts of tokenizers that take all of a text as one word are such words.
 */

/** A set of pairs of characters, as bits by hash: of a pair that is not in it, it may say that it is. */
export type Neighbours = Uint32Array;

const BITS = 20;

/** The pairs of neighbouring characters in these tokens. */
export function neighboursOf(tokens: Iterable<string>): Neighbours {
  const pairs = new Uint32Array(2 ** BITS / 32);
  for (const token of tokens) {
    let last = -1;
    for (const character of token) {
      const point = character.codePointAt(0) ?? 0;
      if (last >= 0) {
        const bit = hash(last, point);
        pairs[bit >>> 5] = (pairs[bit >>> 5] ?? 0) | (1 << (bit & 31));
      }
      last = point;
    }
  }
  return pairs;
}

/** Whether a token may have these code points beside each other. */
export function neighboursIn(pairs: Neighbours, left: number, right: number): boolean {
  const bit = hash(left, right);
  return ((pairs[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
}

function hash(left: number, right: number): number {
  return (Math.imul(left, 0x9e3779b1) + Math.imul(right, 0x85ebca6b)) >>> (32 - BITS);
}
