/**
 * The tokenizer of blenderbot_small-90M, which has no tokenizer.json: subword-nmt's byte-pair encoding (Sennrich et
 * al. 2016) over lower-case words with punctuation split off, as transformers' `BlenderbotSmallTokenizer` does it.
 * In merges the last symbol of a word ends with `</w>`; in the vocabulary all but the last end with `@@`.
 */
import type { AddedToken } from "./definition.ts";
import type { DecoderPlan, TextStep } from "./decoder-plan.ts";
import type { LibraryBpe, TextTokenizer } from "./library.ts";

const END_OF_WORD = "</w>";
const GOES_ON = "@@";

/** A word with the line feed behind it. White space is Unicode's: JavaScript's `\s` has U+FEFF and lacks U+0085. */
const WORDS = /\P{White_Space}+\n?/gu;

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

export class BlenderbotSmallTokenizer implements TextTokenizer {
  readonly #bpe: LibraryBpe;
  readonly #added: ReadonlyMap<string, AddedToken>;
  /** Matches added tokens, in a group, so that split() gives text and added tokens in turn; undefined without any. */
  readonly #splitter: RegExp | undefined;

  /** @param bpe The model with merges and vocabulary, the end-of-word suffix `</w>` and an unknown token. */
  constructor(bpe: LibraryBpe, addedTokens: readonly AddedToken[]) {
    this.#bpe = bpe;
    this.#added = new Map(addedTokens.map((token) => [token.content, token]));
    // The longest come first, because of alternatives the first that matches is taken.
    const contents = [...this.#added.keys()].sort((a, b) => b.length - a.length);
    const escaped = contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    this.#splitter = escaped.length === 0 ? undefined : new RegExp(`(${escaped.join("|")})`, "u");
  }

  /** The ids of a text, around which nothing is added. */
  encode(text: string): { ids: (number | undefined)[] } {
    const ids: (number | undefined)[] = [];
    const whole = text.toWellFormed();
    const pieces = this.#splitter === undefined ? [whole] : whole.split(this.#splitter);
    pieces.forEach((piece, i) => {
      if (i % 2 === 1) {
        ids.push(this.#added.get(piece)?.id);
        return;
      }
      const words = this.#strip(piece, pieces[i - 1], pieces[i + 1]).match(WORDS) ?? [];
      for (const word of words) {
        for (const token of this.#tokens(word)) {
          ids.push(this.#idOf(token));
        }
      }
    });
    return { ids };
  }

  token_to_id(token: string): number | undefined {
    return this.#bpe.tokens_to_ids.get(token);
  }

  id_to_token(id: number): string | undefined {
    return this.#bpe.vocab[id];
  }

  /** Takes off what the added tokens beside a piece of text take along. */
  #strip(piece: string, left: string | undefined, right: string | undefined): string {
    const begun = left !== undefined && this.#added.get(left)?.rstrip === true;
    const ended = right !== undefined && this.#added.get(right)?.lstrip === true;
    const fromStart = begun ? piece.replace(/^\p{White_Space}+/u, "") : piece;
    return ended ? fromStart.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, "") : fromStart;
  }

  /** The tokens of a word, which may end with a line feed. The steps and their order are those of the class. */
  #tokens(word: string): string[] {
    const spaced = word
      .replace(/[.,!?()]/g, " $&")
      .replaceAll("'", " ' ")
      .replace(/\p{White_Space}{2,}/gu, " ")
      .replaceAll("\n", " __newln__");
    return spaced.split(" ").flatMap((part) => {
      const symbols = part === "" ? [] : this.#bpe.bpe(part.toLowerCase());
      return symbols.map((symbol, i) => {
        if (i < symbols.length - 1) {
          return symbol + GOES_ON;
        }
        return symbol.endsWith(END_OF_WORD) ? symbol.slice(0, -END_OF_WORD.length) : symbol;
      });
    });
  }

  #idOf(token: string): number | undefined {
    return this.#bpe.tokens_to_ids.get(token) ?? this.#bpe.unk_token_id;
  }
}
