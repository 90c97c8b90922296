/**
 * Drafts of what comes next, from what came before (prompt lookup: Saxena 2023): the tokens that followed the last time when
 * the sequence's last two or three tokens stood together. A draft is a guess that a model's own choice confirms or not.
 */

/** Tokens that must have stood together, the more first. */
const LENGTHS = [3, 2] as const;

export class PromptLookup {
  readonly #tokens: number[] = [];
  /** For each length, by a hash of so many tokens: how many tokens there were when they had last come. */
  readonly #ends = LENGTHS.map(() => new Map<number, number>());

  /** @param tokens the sequence so far */
  constructor(tokens: Iterable<number>) {
    for (const token of tokens) {
      this.add(token);
    }
  }

  /** Adds the sequence's next token. */
  add(token: number): void {
    // The last tokens are noted when another follows: they are not to be found as their own past.
    for (const [i, length] of LENGTHS.entries()) {
      if (this.#tokens.length >= length) {
        this.#ends[i].set(this.#hash(this.#tokens.length, length), this.#tokens.length);
      }
    }
    this.#tokens.push(token);
  }

  /** What may come next: at most so many tokens, none where the last ones never stood together before. */
  draft(most: number): number[] {
    const tokens = this.#tokens;
    for (const [i, length] of LENGTHS.entries()) {
      if (tokens.length < length) {
        continue;
      }
      const end = this.#ends[i].get(this.#hash(tokens.length, length));
      if (end !== undefined && this.#areSame(end, length)) {
        return tokens.slice(end, end + most);
      }
    }
    return [];
  }

  /** A number of the `length` tokens before `end`; others may have it too. */
  #hash(end: number, length: number): number {
    let hash = 0;
    for (let i = end - length; i < end; i++) {
      hash = (Math.imul(hash, 0x9e3779b1) + (this.#tokens[i] ?? 0)) | 0;
    }
    return hash;
  }

  /** Whether the tokens before `end` are those at the sequence's end. */
  #areSame(end: number, length: number): boolean {
    for (let i = 1; i <= length; i++) {
      if (this.#tokens[end - i] !== this.#tokens[this.#tokens.length - i]) {
        return false;
      }
    }
    return true;
  }
}
