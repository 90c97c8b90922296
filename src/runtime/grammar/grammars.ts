import { compiledKey, type Constraint } from "./grammar.ts";
import { Grammar } from "./matcher.ts";
import { Vocabulary } from "./vocabulary.ts";

/** Grammars that are kept for the next request that asks for the same. */
const MOST_KEPT = 16;

/** The grammars of one model: compiled once for all requests that have the same one. */
export class Grammars {
  readonly #makeVocabulary: () => Vocabulary;
  /** By constraints as text, in the order of their last use. */
  readonly #kept = new Map<string, Grammar>();
  #vocabulary: Vocabulary | undefined;

  /**
   * @param size number of the model's logits
   * @param bytesOf the bytes of a token in a text; undefined for one that has none, and for special tokens
   */
  constructor(size: number, bytesOf: (token: number) => Uint8Array | undefined) {
    this.#makeVocabulary = () => new Vocabulary(size, bytesOf);
  }

  /** @throws ModelComposeError as `compileConstraint` and `Vocabulary` */
  of(constraint: Constraint): Grammar {
    const key = compiledKey(constraint);
    const known = this.#kept.get(key);
    this.#vocabulary ??= this.#makeVocabulary();
    const grammar = known ?? new Grammar(constraint, this.#vocabulary);
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    if (this.#kept.size > MOST_KEPT) {
      const [oldest = ""] = this.#kept.keys();
      this.#kept.delete(oldest);
    }
    return grammar;
  }
}
