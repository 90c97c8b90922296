/** What the processors of generation history need to know of the tokens so far, at O(1) work a token. */

import type { TokenList } from "./logits-processors.ts";

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
    if (token >= this.#isSeen.length || this.#isSeen[token] === 1) return;
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
      if (followers === undefined) this.#followers.set(prefix, new Set([token]));
      else followers.add(token);
    }
    this.#recent.push(token);
    if (this.#recent.length > this.#prefixLength) this.#recent.shift();
  }

  /** The tokens that would complete an n-gram for the second time. May hold ids beyond the vocabulary. */
  repeats(): ReadonlySet<number> {
    if (this.#recent.length < this.#prefixLength) return NO_TOKENS;
    return this.#followers.get(this.#recent.join()) ?? NO_TOKENS;
  }
}
