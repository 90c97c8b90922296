/** Makes token ids of a text by what a tokenizer.json says, in the order of the tokenizers library. */
import type { AddedToken } from "./added-vocabulary.ts";
import type { Normalizer } from "./normalizer.ts";
import type { TokensAround } from "./post-processor.ts";
import type { PreTokenizer } from "./pre-tokenizer.ts";
import { TokenFinder } from "./token-finder.ts";

/** How a text is to be encoded. */
export interface EncodingOptions {
  /** Whether to add what the model expects around a text. */
  addSpecialTokens: boolean;
  /** Encoding may stop as soon as there are more ids than this; the ids are not whole then. */
  most: number;
}

/** Makes ids of texts. Each step takes a few milliseconds at most for a text of a megabyte. */
export interface StepwiseEncoder {
  /** @param text whole surrogate pairs only */
  encode(text: string, options: EncodingOptions): Generator<undefined, number[]>;
}

/** Makes tokens of the words that a text is cut into. */
export interface WordEncoder {
  /**
   * Appends the tokens of a word if that takes no time to speak of.
   *
   * @returns false for a long word, for which there is `encodeLong`
   * @throws VocabularyError for an unknown character for which there is no token
   */
  encodeShort(word: string, ids: number[]): boolean;
  /**
   * Appends the tokens of a word that `encodeShort` has refused, with pauses.
   *
   * @throws VocabularyError as `encodeShort`
   */
  encodeLong(word: string, ids: number[]): Generator<undefined, void>;
}

/** Code units of words that are encoded between two pauses. */
const STEPS = 4096;

export interface TextEncoderParts {
  addedTokens: readonly AddedToken[];
  /** Whether text that spells a special token is ordinary text. */
  splitsSpecialTokens: boolean;
  normalizer: Normalizer;
  preTokenizer: PreTokenizer;
  words: WordEncoder;
  around: TokensAround;
}

export class DefinedEncoder implements StepwiseEncoder {
  readonly #parts: TextEncoderParts;
  /** Tokens that are found in the text as it is, and those that are found when it is normalized. */
  readonly #plain: TokenFinder;
  readonly #normalized: TokenFinder;

  /** @param normalizedTexts how each normalized added token is spelled when it is normalized, by its id */
  constructor(parts: TextEncoderParts, normalizedTexts: ReadonlyMap<number, string>) {
    this.#parts = parts;
    const isText = ({ special }: AddedToken): boolean => special && parts.splitsSpecialTokens;
    const plain = parts.addedTokens.filter(({ normalized }) => !normalized);
    const normalized = parts.addedTokens.filter((token) => token.normalized);
    this.#plain = new TokenFinder(
      plain.map((token) => [token.content, token] as const),
      isText,
    );
    this.#normalized = new TokenFinder(
      normalized.map((token) => [normalizedTexts.get(token.id) ?? token.content, token] as const),
      isText,
    );
  }

  *encode(text: string, { addSpecialTokens, most }: EncodingOptions): Generator<undefined, number[]> {
    const { around, normalizer } = this.#parts;
    const ids = addSpecialTokens ? [...around.before] : [];
    const work = { ids, most, left: STEPS };
    for (const section of this.#plain.cut(text)) {
      if (section === undefined) {
        yield;
      } else if ("id" in section) {
        ids.push(section.id);
        yield* spend(work, 1);
      } else {
        const normalized = yield* normalizer.apply(section.text);
        yield* this.#encodeNormalized(normalized, section.from === 0, work);
      }
      if (ids.length > most) {
        return ids;
      }
    }
    if (addSpecialTokens) {
      ids.push(...around.after);
    }
    return ids;
  }

  *#encodeNormalized(text: string, beginsText: boolean, work: Work): Generator<undefined, void> {
    const { preTokenizer, words } = this.#parts;
    const { ids, most } = work;
    for (const section of this.#normalized.cut(text)) {
      if (section === undefined) {
        yield;
        continue;
      }
      if ("id" in section) {
        ids.push(section.id);
        yield* spend(work, 1);
        continue;
      }
      for (const word of preTokenizer.split(section.text, beginsText && section.from === 0)) {
        if (word === undefined) {
          yield;
          continue;
        }
        if (!words.encodeShort(word, ids)) {
          yield* words.encodeLong(word, ids);
        }
        if (ids.length > most) {
          return;
        }
        work.left -= word.length;
        if (work.left <= 0) {
          yield* spend(work, 0);
        }
      }
    }
  }
}

/** The encoding of one text. */
interface Work {
  readonly ids: number[];
  readonly most: number;
  /** Code units that may be encoded before the next pause. */
  left: number;
}

/** Counts code units, and pauses if there were enough. */
function* spend(work: Work, units: number): Generator<undefined, void> {
  work.left -= units;
  if (work.left <= 0) {
    work.left = STEPS;
    yield;
  }
}
