/** Byte-pair encoding of words (Sennrich et al. 2016), as the tokenizers library does it (`models/bpe/model.rs`). */
import { runAtOnce } from "../../base/async/slices.ts";
import { byteTokens } from "./byte-tokens.ts";
import type { MergeTable } from "./merge-table.ts";
import type { Merges } from "./merges.ts";
import { neighboursIn, type Neighbours } from "./neighbours.ts";
import { behind, codePointAt } from "./code-points.ts";
import { WordMerge } from "./word-merge.ts";

/** What `model` of tokenizer.json says besides its tables. */
export interface BpeOptions {
  /** The token for characters that are not in the vocabulary. Without one, they are left out. */
  unknownToken: string | undefined;
  /** Whether unknown characters in a row are one token. */
  fuseUnknown: boolean;
  /** Whether a character that is not in the vocabulary becomes the tokens of its bytes, `<0x0A>`. */
  byteFallback: boolean;
  /** Whether a word that is a token is that token, whatever its merges. */
  ignoreMerges: boolean;
  /** What a symbol is written with that does not begin a word. */
  continuingPrefix: string;
  /** What a symbol is written with that ends a word. */
  endSuffix: string;
}

/** The words of this length and more, in code units, are not kept, and are cut where nothing can be merged. */
const LONG_WORD = 64;

/** How many words are kept with their tokens. */
const MOST_KEPT = 16_384;

/** Steps of merging between two pauses: about two milliseconds. */
const STEPS = 10_000;

/** Marks of characters whose id has not been looked up, and of those that have none. */
const NOT_LOOKED_UP = -2;
const UNKNOWN = -1;

/** What is wrong with a definition and shows only when a text needs it. */
export class VocabularyError extends Error {
  override readonly name = "VocabularyError";
}

export class Bpe {
  readonly #options: BpeOptions;
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #merges: MergeTable;
  /** Which characters may be neighbours within a token; undefined where symbols are no characters. */
  readonly #neighbours: Neighbours | undefined;
  readonly #spell: (word: string) => string;
  /** The tokens of words, and of parts of long words as they are spelled. */
  readonly #words = new Map<string, readonly number[]>();
  readonly #parts = new Map<string, readonly number[]>();
  /** The ids of the characters of the basic plane as symbols in the middle of a word. */
  readonly #characters = new Int32Array(0x10000).fill(NOT_LOOKED_UP);

  /**
   * @param vocabulary tokens and their ids. It may grow until the first word is encoded.
   * @param merges of ids of the vocabulary
   * @param spell spells a word as tokens are spelled, each of its characters by itself
   */
  constructor(
    options: BpeOptions,
    vocabulary: ReadonlyMap<string, number>,
    { table, neighbours }: Merges,
    spell: (word: string) => string,
  ) {
    this.#options = options;
    this.#vocabulary = vocabulary;
    this.#merges = table;
    this.#spell = spell;
    this.#neighbours = options.continuingPrefix === "" && options.endSuffix === "" ? neighbours : undefined;
  }

  /**
   * Appends the tokens of a word if that takes no time to speak of.
   *
   * @returns false for a long word, for which there is `encodeLong`
   * @throws VocabularyError for an unknown character where the token for it has no id
   */
  encodeShort(word: string, ids: number[]): boolean {
    if (word.length >= LONG_WORD) {
      return false;
    }
    let tokens = this.#words.get(word);
    if (tokens === undefined) {
      const spelled = this.#spell(word);
      const whole = this.#wholeToken(spelled);
      tokens = whole === undefined ? this.#mergeShort(spelled) : [whole];
      keep(this.#words, word, tokens);
    }
    append(tokens, ids);
    return true;
  }

  /**
   * Appends the tokens of a word that `encodeShort` has refused, with pauses.
   *
   * @throws VocabularyError as `encodeShort`
   */
  *encodeLong(text: string, ids: number[]): Generator<undefined, void> {
    const word = yield* this.#spellLong(text);
    const whole = this.#wholeToken(word);
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    let from = 0;
    let last = 0;
    let pause = STEPS;
    for (let at = 0; at < word.length;) {
      const point = codePointAt(word, at);
      if (at > from && this.#isBorder(last, point)) {
        yield* this.#part(word.slice(from, at), ids);
        from = at;
      }
      last = point;
      at += point > 0xffff ? 2 : 1;
      if (at >= pause) {
        pause = at + STEPS;
        yield;
      }
    }
    yield* this.#part(word.slice(from), ids);
  }

  /** Spells a word piece by piece. */
  *#spellLong(text: string): Generator<undefined, string> {
    let spelled = "";
    for (let at = 0; at < text.length;) {
      let end = Math.min(text.length, at + STEPS);
      end = end < text.length ? behind(text, end - 1) : end;
      spelled += this.#spell(text.slice(at, end));
      at = end;
      yield;
    }
    return spelled;
  }

  /** Whether nothing is merged over the border between two characters. */
  #isBorder(left: number, right: number): boolean {
    const neighbours = this.#neighbours;
    if (neighbours === undefined || neighboursIn(neighbours, left, right)) {
      return false;
    }
    // Unknown characters may become one token with those beside them.
    return this.#idOf(left) !== UNKNOWN && this.#idOf(right) !== UNKNOWN;
  }

  *#part(part: string, ids: number[]): Generator<undefined, void> {
    if (part.length < LONG_WORD) {
      let tokens = this.#parts.get(part);
      if (tokens === undefined) {
        tokens = this.#mergeShort(part);
        keep(this.#parts, part, tokens);
      }
      append(tokens, ids);
      return;
    }
    const symbols: number[] = [];
    yield* this.#symbolsOf(part, symbols);
    const merge = new WordMerge(this.#merges, symbols);
    while (!merge.advance(STEPS)) {
      yield;
    }
    merge.appendTo(ids);
  }

  /** The token that a word is without any merging. */
  #wholeToken(word: string): number | undefined {
    return this.#options.ignoreMerges ? this.#vocabulary.get(word) : undefined;
  }

  #mergeShort(word: string): number[] {
    const symbols: number[] = [];
    runAtOnce(this.#symbolsOf(word, symbols));
    const merge = new WordMerge(this.#merges, symbols);
    merge.advance(Infinity);
    const merged: number[] = [];
    merge.appendTo(merged);
    return merged;
  }

  /** Appends the symbols that a word begins as. */
  *#symbolsOf(word: string, symbols: number[]): Generator<undefined, void> {
    const { unknownToken, fuseUnknown, continuingPrefix, endSuffix } = this.#options;
    /** The token of unknown characters, which comes when it is known that no more of them follow. */
    let unknown: number | undefined;
    let pause = STEPS;
    for (let at = 0; at < word.length;) {
      const point = codePointAt(word, at);
      const end = at + (point > 0xffff ? 2 : 1);
      let text = "";
      let id: number;
      if (continuingPrefix === "" && (endSuffix === "" || end < word.length)) {
        id = this.#idOf(point);
      } else {
        text =
          (at === 0 ? "" : continuingPrefix) +
          String.fromCodePoint(point) +
          (end < word.length ? "" : endSuffix);
        id = this.#vocabulary.get(text) ?? UNKNOWN;
      }
      if (id !== UNKNOWN) {
        if (unknown !== undefined) {
          symbols.push(unknown);
          unknown = undefined;
        }
        symbols.push(id);
      } else if (
        !this.#byBytes(text === "" ? String.fromCodePoint(point) : text, symbols) &&
        unknownToken !== undefined
      ) {
        if (unknown !== undefined && !fuseUnknown) {
          symbols.push(unknown);
        }
        unknown = this.#unknownId(unknownToken);
      }
      at = end;
      if (at >= pause) {
        pause = at + STEPS;
        yield;
      }
    }
    if (unknown !== undefined) {
      symbols.push(unknown);
    }
  }

  /** Appends the tokens of a symbol's bytes. @returns false if there is none for one of them, or they are not used */
  #byBytes(text: string, symbols: number[]): boolean {
    if (!this.#options.byteFallback) {
      return false;
    }
    const bytes = byteTokens(text, this.#vocabulary);
    symbols.push(...(bytes ?? []));
    return bytes !== undefined;
  }

  #unknownId(token: string): number {
    const id = this.#vocabulary.get(token);
    if (id === undefined) {
      throw new VocabularyError(
        `has no id for its unknown token ${JSON.stringify(token)}, which a text with other characters needs`,
      );
    }
    return id;
  }

  #idOf(point: number): number {
    if (point > 0xffff) {
      return this.#vocabulary.get(String.fromCodePoint(point)) ?? UNKNOWN;
    }
    const id = this.#characters[point] ?? NOT_LOOKED_UP;
    if (id !== NOT_LOOKED_UP) {
      return id;
    }
    const found = this.#vocabulary.get(String.fromCharCode(point)) ?? UNKNOWN;
    this.#characters[point] = found;
    return found;
  }
}

function keep(kept: Map<string, readonly number[]>, word: string, tokens: readonly number[]): void {
  if (kept.size >= MOST_KEPT) {
    kept.clear();
  }
  kept.set(word, tokens);
}

function append(tokens: readonly number[], ids: number[]): void {
  for (const token of tokens) {
    ids.push(token);
  }
}
