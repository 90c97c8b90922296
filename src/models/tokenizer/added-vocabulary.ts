/** Tokens beside the vocabulary, which the tokenizers library finds in a text before anything else (`added_vocabulary.rs`). */

/** A token as files describe it. */
export interface TokenFlags {
  readonly content: string;
  /** Whether decoding can leave it out. */
  readonly special: boolean;
  /** Whether it is found in the normalized text, spelled as it is when it is normalized. */
  readonly normalized: boolean;
  /** Whether it takes the white space before it along. */
  readonly lstrip: boolean;
  /** Whether it takes the white space after it along. */
  readonly rstrip: boolean;
  /** Whether it is found only where it is no part of a word. */
  readonly singleWord: boolean;
}

export interface AddedToken extends TokenFlags {
  readonly id: number;
}

/** The added tokens of a tokenizer. A token gets its id here, by the library's rule, whatever files say. */
export class AddedVocabulary {
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #ids = new Map<string, number>();
  readonly #tokens = new Map<number, AddedToken>();
  readonly #special = new Set<string>();

  constructor(vocabulary: ReadonlyMap<string, number>) {
    this.#vocabulary = vocabulary;
  }

  /**
   * Adds tokens. One that is known has its id; the others are numbered on from the vocabulary, or the highest added
   * token. Flags of a token that was added before are replaced; a special one stays special.
   */
  add(tokens: readonly TokenFlags[]): void {
    let next = this.#vocabulary.size;
    for (const id of this.#tokens.keys()) {
      next = Math.max(next, id + 1);
    }
    for (const token of tokens) {
      const id = this.idOf(token.content) ?? next++;
      if (token.special) {
        this.#special.add(token.content);
      }
      this.#ids.set(token.content, id);
      this.#tokens.set(id, { ...token, id });
    }
  }

  /** The id of a token, added or not. */
  idOf(content: string): number | undefined {
    return this.#ids.get(content) ?? this.#vocabulary.get(content);
  }

  /** The token of this spelling, if it has been added. */
  get(content: string): AddedToken | undefined {
    const id = this.#ids.get(content);
    return id === undefined ? undefined : this.#tokens.get(id);
  }

  tokens(): AddedToken[] {
    return [...this.#tokens.values()].map((token) => ({
      ...token,
      special: this.#special.has(token.content),
    }));
  }
}
