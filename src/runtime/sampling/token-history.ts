/** What the processors of generation history need to know of the tokens so far. */

import type { TokenList } from "./logits-processors.ts";

/** The tokens of one sequence so far, prompt included (an encoder–decoder's: the decoder's), as processors ask for them. */
export interface TokenHistory {
  readonly length: number;
  /** Every distinct token of the vocabulary so far. */
  seen(): Readonly<TokenList>;
  /** The tokens that would complete an n-gram of `size` for the second time. May hold ids beyond the vocabulary. */
  repeats(size: number): Iterable<number>;
  /** The last `count` tokens, fewer at the beginning. */
  last(count: number): readonly number[];
  /** How often each token stands at or behind an index. May hold ids beyond the vocabulary. */
  countsFrom(index: number): ReadonlyMap<number, number>;
}

/** What a GrowingHistory will be asked. */
export interface HistoryNeeds {
  seen: boolean;
  /** The `size` that `repeats` is asked for; 0: it is not asked. */
  ngramSize: number;
  /** The largest `count` that `last` is asked for. */
  last: number;
  /** The `index` that `countsFrom` is asked for; Infinity: it is not asked. */
  countsFrom: number;
}

/** The history of a sequence that only grows, at O(1) work a token. */
export class GrowingHistory implements TokenHistory {
  readonly #seen: SeenTokens | undefined;
  readonly #ngrams: NgramHistory | undefined;
  readonly #tail: number[] = [];
  readonly #tailSize: number;
  readonly #counts = new Map<number, number>();
  readonly #countsFrom: number;
  #length = 0;

  constructor(vocabSize: number, needs: HistoryNeeds) {
    this.#seen = needs.seen ? new SeenTokens(vocabSize) : undefined;
    this.#ngrams = needs.ngramSize === 0 ? undefined : new NgramHistory(needs.ngramSize);
    this.#tailSize = needs.last;
    this.#countsFrom = needs.countsFrom;
  }

  get length(): number {
    return this.#length;
  }

  push(token: number): void {
    if (this.#length >= this.#countsFrom) {
      this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    }
    this.#length++;
    this.#seen?.push(token);
    this.#ngrams?.push(token);
    if (this.#tailSize === 0) {
      return;
    }
    this.#tail.push(token);
    if (this.#tail.length > this.#tailSize) {
      this.#tail.shift();
    }
  }

  seen(): Readonly<TokenList> {
    return this.#seen ?? { ids: new Int32Array(0), size: 0 };
  }

  repeats(): Iterable<number> {
    return this.#ngrams?.repeats() ?? NO_TOKENS;
  }

  last(count: number): readonly number[] {
    return count === 0 ? [] : this.#tail.slice(-count);
  }

  countsFrom(): ReadonlyMap<number, number> {
    return this.#counts;
  }
}

/** The history of one of many sequences that branch, read off its tokens each time it is asked: O(length) work. */
export class ListedHistory implements TokenHistory {
  readonly #tokens: readonly number[];
  readonly #vocabSize: number;

  constructor(tokens: readonly number[], vocabSize: number) {
    this.#tokens = tokens;
    this.#vocabSize = vocabSize;
  }

  get length(): number {
    return this.#tokens.length;
  }

  seen(): Readonly<TokenList> {
    const ids = Int32Array.from(new Set(this.#tokens.filter((token) => token < this.#vocabSize)));
    return { ids, size: ids.length };
  }

  repeats(size: number): Iterable<number> {
    return followersOf(this.#tokens, size, this.last(size - 1));
  }

  last(count: number): readonly number[] {
    return count === 0 ? [] : this.#tokens.slice(-count);
  }

  countsFrom(index: number): ReadonlyMap<number, number> {
    const counts = new Map<number, number>();
    for (const token of this.#tokens.slice(index)) {
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    return counts;
  }
}

/** The tokens that follow `prefix` in n-grams of `size` among `tokens`; none when the prefix is too short for that. */
export function followersOf(
  tokens: readonly number[],
  size: number,
  prefix: readonly number[],
): ReadonlySet<number> {
  const found = new Set<number>();
  if (prefix.length !== size - 1) {
    return found;
  }
  for (let end = size - 1; end < tokens.length; end++) {
    if (prefix.every((token, i) => tokens[end - size + 1 + i] === token)) {
      found.add(tokens[end] ?? 0);
    }
  }
  return found;
}

/** The set of tokens seen so far, in order of first appearance. */
export class SeenTokens implements TokenList {
  readonly ids: Int32Array;
  size = 0;
  readonly #isSeen: Uint8Array;

  constructor(vocabSize: number) {
    this.ids = new Int32Array(vocabSize);
    this.#isSeen = new Uint8Array(vocabSize);
  }

  /** Ids beyond the vocabulary (a padded embedding may have some) can never be generated and are left out. */
  push(token: number): void {
    if (token >= this.#isSeen.length || this.#isSeen[token] === 1) {
      return;
    }
    this.#isSeen[token] = 1;
    this.ids[this.size++] = token;
  }
}

const NO_TOKENS: ReadonlySet<number> = new Set();

/** All n-grams so far, by their first n − 1 tokens. */
export class NgramHistory {
  readonly #prefixLength: number;
  readonly #followers = new Map<string, Set<number>>();
  /** The last n − 1 tokens (fewer at the beginning). */
  readonly #recent: number[] = [];

  /** @param size n, at least 1 */
  constructor(size: number) {
    this.#prefixLength = size - 1;
  }

  push(token: number): void {
    if (this.#recent.length === this.#prefixLength) {
      const prefix = this.#recent.join();
      const followers = this.#followers.get(prefix);
      if (followers === undefined) {
        this.#followers.set(prefix, new Set([token]));
      } else {
        followers.add(token);
      }
    }
    this.#recent.push(token);
    if (this.#recent.length > this.#prefixLength) {
      this.#recent.shift();
    }
  }

  /** The tokens that would complete an n-gram for the second time. May hold ids beyond the vocabulary. */
  repeats(): ReadonlySet<number> {
    if (this.#recent.length < this.#prefixLength) {
      return NO_TOKENS;
    }
    return this.#followers.get(this.#recent.join()) ?? NO_TOKENS;
  }
}
