/**
 * The tokenizer of blenderbot_small-90M, which has no tokenizer.json: subword-nmt's byte-pair encoding (Sennrich et
 * al. 2016) over lower-case words with punctuation split off, as transformers' `BlenderbotSmallTokenizer` does it.
 * In merges the last symbol of a word ends with `</w>`; in the vocabulary all but the last end with `@@`.
 */
import type { AddedToken } from "./added-vocabulary.ts";
import type { DecoderPlan, TextStep } from "./decoder-plan.ts";
import type { MergeTable } from "./merge-table.ts";
import type { EncodingOptions, StepwiseEncoder } from "./text-encoder.ts";
import { TokenFinder } from "./token-finder.ts";
import { WordMerge } from "./word-merge.ts";

const END_OF_WORD = "</w>";
const GOES_ON = "@@";

/** A word with the line feed behind it. White space is Unicode's: JavaScript's `\s` has U+FEFF and lacks U+0085. */
const WORDS = /\P{White_Space}+\n?/gu;

/** Code units of words that are encoded between two pauses, and steps of merging. */
const STEPS = 4096;

/** The replacements of transformers' `PreTrainedTokenizerBase.clean_up_tokenization`, in its order. */
const CLEANED_UP: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/** The decoder's plan: tokens with spaces between them, those inside a word joined, no space at either end. */
export function planBlenderbotSmall(cleanUpSpaces: boolean): DecoderPlan {
  const textSteps: TextStep[] = [
    { kind: "replace", text: `${GOES_ON} `, by: "" },
    { kind: "strip", content: " ", start: Infinity, stop: Infinity },
  ];
  if (cleanUpSpaces) {
    for (const [text, by] of CLEANED_UP) {
      textSteps.push({ kind: "replace", text, by });
    }
  }
  return { mapToken: [], bytes: "none", textSteps, separator: " " };
}

export interface BlenderbotSmallParts {
  vocabulary: ReadonlyMap<string, number>;
  /** Merges of indices of `symbols`. */
  merges: MergeTable;
  symbols: readonly string[];
  /** The token of words that are not in the vocabulary. */
  unknownToken: string | undefined;
  addedTokens: readonly AddedToken[];
}

export class BlenderbotSmallEncoder implements StepwiseEncoder {
  readonly #parts: BlenderbotSmallParts;
  readonly #finder: TokenFinder;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #unknown: number | undefined;

  constructor(parts: BlenderbotSmallParts) {
    this.#parts = parts;
    this.#finder = new TokenFinder(parts.addedTokens.map((token) => [token.content, token] as const));
    this.#numbers = new Map(parts.symbols.map((symbol, number) => [symbol, number]));
    this.#unknown = parts.unknownToken === undefined ? undefined : parts.vocabulary.get(parts.unknownToken);
  }

  /** The ids of a text, around which nothing is added. */
  *encode(text: string, { most }: EncodingOptions): Generator<undefined, number[]> {
    const ids: number[] = [];
    let left = STEPS;
    for (const section of this.#finder.cut(text)) {
      if (section === undefined) {
        yield;
        continue;
      }
      if ("id" in section) {
        ids.push(section.id);
        continue;
      }
      for (const [word] of section.text.matchAll(WORDS)) {
        yield* this.#encodeWord(word, ids);
        left -= word.length;
        if (ids.length > most) {
          return ids;
        }
        if (left <= 0) {
          left = STEPS;
          yield;
        }
      }
    }
    return ids;
  }

  /** Appends the ids of a word, which may end with a line feed. The steps and their order are those of the class. */
  *#encodeWord(word: string, ids: number[]): Generator<undefined, void> {
    const spaced = word
      .replace(/[.,!?()]/g, " $&")
      .replaceAll("'", " ' ")
      .replace(/\p{White_Space}{2,}/gu, " ")
      .replaceAll("\n", " __newln__");
    for (const part of spaced.split(" ")) {
      const symbols = part === "" ? [] : yield* this.#symbolsOf(part.toLowerCase());
      symbols.forEach((symbol, i) => {
        const end = symbol.endsWith(END_OF_WORD) ? symbol.slice(0, -END_OF_WORD.length) : symbol;
        const id =
          this.#parts.vocabulary.get(i < symbols.length - 1 ? symbol + GOES_ON : end) ?? this.#unknown;
        if (id !== undefined) {
          ids.push(id);
        }
      });
      yield;
    }
  }

  /** The symbols that a word is merged to. */
  *#symbolsOf(word: string): Generator<undefined, string[]> {
    const { merges, symbols } = this.#parts;
    const own: string[] = [];
    const characters = [...word];
    const numbers = characters.map((character, i) => {
      const symbol = i < characters.length - 1 ? character : character + END_OF_WORD;
      // A symbol of no merge gets a number of its own behind those that are known.
      return this.#numbers.get(symbol) ?? symbols.length + own.push(symbol) - 1;
    });
    const merge = new WordMerge(merges, numbers);
    while (!merge.advance(STEPS)) {
      yield;
    }
    const merged: number[] = [];
    merge.appendTo(merged);
    return merged.map((number) => symbols[number] ?? own[number - symbols.length] ?? "");
  }
}
