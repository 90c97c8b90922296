/**
 * Words as the likeliest pieces of a Unigram vocabulary (Kudo 2018, https://arxiv.org/abs/1804.10959), as the tokenizers library
 * finds them (`models/unigram/model.rs`, encode_optimized): Viterbi, in f64, the first of equally likely ways.
 */
import { runAtOnce } from "../../base/async/slices.ts";
import { VocabularyError } from "./bpe.ts";
import { byteTokens } from "./byte-tokens.ts";
import { childOf, type PieceTrie } from "./piece-trie.ts";

/** What `model` of tokenizer.json says besides its pieces. */
export interface UnigramOptions {
  kind: "unigram";
  /** The id of the piece for characters that are in no other. */
  unknownId: number | undefined;
  /** Whether what is in no piece becomes the tokens of its bytes, `<0x0A>`. */
  byteFallback: boolean;
}

/** How much less likely than the least likely piece an unknown character is (kUnkPenalty of SentencePiece). */
const UNKNOWN_PENALTY = 10;

/** The words of this length and more, in code units, are not kept. */
const LONG_WORD = 64;

/** How many words are kept with their tokens. */
const MOST_KEPT = 16_384;

/** Steps in the trie between two pauses: about two milliseconds. */
const STEPS = 100_000;

/** Ways to the ends of a word's prefixes, by their lengths in code units. */
interface Ways {
  /** The score of the best way; NaN where there is none. */
  readonly scores: Float64Array;
  /** Where its last piece begins, and which it is. */
  readonly starts: Int32Array;
  readonly ids: Int32Array;
}

export class Unigram {
  readonly #options: UnigramOptions;
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #trie: PieceTrie;
  readonly #unknownScore: number;
  readonly #spell: (word: string) => string;
  readonly #words = new Map<string, readonly number[]>();

  /**
   * @param vocabulary pieces and their ids; it may grow until the first word is encoded
   * @param spell spells a word as pieces are spelled, each of its characters by itself
   */
  constructor(
    options: UnigramOptions,
    vocabulary: ReadonlyMap<string, number>,
    trie: PieceTrie,
    spell: (word: string) => string,
  ) {
    this.#options = options;
    this.#vocabulary = vocabulary;
    this.#trie = trie;
    this.#spell = spell;
    this.#unknownScore =
      trie.scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  }

  /**
   * Appends the tokens of a word if that takes no time to speak of.
   *
   * @returns false for a long word, for which there is `encodeLong`
   * @throws VocabularyError for an unknown character where there is no token for it
   */
  encodeShort(word: string, ids: number[]): boolean {
    if (word.length >= LONG_WORD) {
      return false;
    }
    let tokens = this.#words.get(word);
    if (tokens === undefined) {
      const found: number[] = [];
      runAtOnce(this.encodeLong(word, found));
      tokens = found;
      if (this.#words.size >= MOST_KEPT) {
        this.#words.clear();
      }
      this.#words.set(word, tokens);
    }
    for (const token of tokens) {
      ids.push(token);
    }
    return true;
  }

  /**
   * Appends the tokens of a word, with pauses.
   *
   * @throws VocabularyError as `encodeShort`
   */
  *encodeLong(given: string, ids: number[]): Generator<undefined, void> {
    const word = this.#spell(given);
    const ways = yield* this.#waysOf(word);
    const { unknownId } = this.#options;
    const tokens: number[] = [];
    let pause = STEPS;
    // From the end to the beginning: unknown pieces in a row are one text.
    for (let end = word.length; end > 0;) {
      let from = ways.starts[end] ?? 0;
      const id = ways.ids[end] ?? 0;
      if (id === unknownId) {
        while (from > 0 && ways.ids[from] === unknownId) {
          from = ways.starts[from] ?? 0;
        }
        this.#appendUnknown(word.slice(from, end), tokens);
      } else {
        tokens.push(id);
      }
      end = from;
      if (tokens.length >= pause) {
        pause = tokens.length + STEPS;
        yield;
      }
    }
    for (let i = tokens.length - 1; i >= 0; i--) {
      ids.push(tokens[i] ?? 0);
    }
  }

  /** The best ways to all ends within a word. */
  *#waysOf(word: string): Generator<undefined, Ways> {
    const { ids, scores } = this.#trie;
    const size = word.length + 1;
    const ways: Ways = {
      scores: new Float64Array(size).fill(NaN),
      starts: new Int32Array(size),
      ids: new Int32Array(size),
    };
    ways.scores[0] = 0;
    let steps = 0;
    for (let start = 0; start < word.length;) {
      const before = ways.scores[start] ?? NaN;
      const unit = word.charCodeAt(start);
      const width = unit >= 0xd800 && unit < 0xdc00 ? 2 : 1;
      let hasSingle = false;
      let node = 0;
      for (let end = start; end < word.length;) {
        node = childOf(this.#trie, node, word.charCodeAt(end));
        end++;
        steps++;
        if (node === 0) {
          break;
        }
        const id = ids[node] ?? -1;
        if (id >= 0) {
          reach(ways, start, end, id, (scores[id] ?? 0) + before);
          hasSingle ||= end - start === width;
        }
      }
      if (!hasSingle) {
        reach(ways, start, start + width, this.#unknownId(), this.#unknownScore + before);
      }
      start += width;
      if (steps >= STEPS) {
        steps = 0;
        yield;
      }
    }
    return ways;
  }

  /** Appends, last first, the tokens of a text that is in no piece. */
  #appendUnknown(text: string, tokens: number[]): void {
    // What is put together of unknown pieces may be a piece, which only a very unlikely one is.
    const whole = this.#vocabulary.get(text);
    if (whole !== undefined) {
      tokens.push(whole);
      return;
    }
    const bytes = this.#options.byteFallback ? byteTokens(text, this.#vocabulary) : undefined;
    if (bytes === undefined) {
      tokens.push(this.#unknownId());
      return;
    }
    for (let i = bytes.length - 1; i >= 0; i--) {
      tokens.push(bytes[i] ?? 0);
    }
  }

  #unknownId(): number {
    const { unknownId } = this.#options;
    if (unknownId === undefined) {
      throw new VocabularyError(
        "has no token for unknown characters, which a text with other characters needs",
      );
    }
    return unknownId;
  }
}

/** Takes a way if it is the first to its end, or better than the best. */
function reach({ scores, starts, ids }: Ways, start: number, end: number, id: number, score: number): void {
  const best = scores[end] ?? NaN;
  if (score > best || Number.isNaN(best)) {
    scores[end] = score;
    starts[end] = start;
    ids[end] = id;
  }
}
