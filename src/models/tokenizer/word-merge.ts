/** Merges the symbols of one word: byte-pair encoding as the tokenizers library does it (`models/bpe/word.rs`). */
import { MergeQueue } from "./merge-queue.ts";
import { rankOf, type MergeTable } from "./merge-table.ts";

/** The merging of one word, which can be done in parts: a word may be a whole text. */
export class WordMerge {
  readonly #table: MergeTable;
  /** The symbol at each place; -1 where it has become part of the one before. */
  readonly #symbols: number[];
  readonly #previous: Int32Array;
  readonly #next: Int32Array;
  readonly #queue = new MergeQueue();
  /** How many places have been linked and looked at; at the end of all of them, merging begins. */
  #linked = 0;

  /** @param symbols the symbols of the word, which this takes over */
  constructor(table: MergeTable, symbols: number[]) {
    const { length } = symbols;
    this.#table = table;
    this.#symbols = symbols;
    this.#previous = new Int32Array(length);
    this.#next = new Int32Array(length);
  }

  /** Goes on for a number of steps. @returns whether all is done */
  advance(steps: number): boolean {
    let left = steps;
    for (; this.#linked < this.#symbols.length; this.#linked++) {
      if (left-- <= 0) {
        return false;
      }
      const place = this.#linked;
      this.#previous[place] = place - 1;
      this.#next[place] = place + 1;
      if (place > 0) {
        this.#look(place - 1, place);
      }
    }
    while (this.#queue.take()) {
      this.#merge(this.#queue.place, this.#queue.rank);
      if (left-- <= 0) {
        return false;
      }
    }
    return true;
  }

  /** Appends the symbols that the word has become. */
  appendTo(symbols: number[]): void {
    for (const symbol of this.#symbols) {
      if (symbol >= 0) {
        symbols.push(symbol);
      }
    }
  }

  /** Puts two neighbours into the queue if they are to be merged. */
  #look(left: number, right: number): void {
    const rank = rankOf(this.#table, this.#symbols[left] ?? -1, this.#symbols[right] ?? -1);
    if (rank >= 0) {
      this.#queue.add(rank, left);
    }
  }

  #merge(place: number, rank: number): void {
    const { results } = this.#table;
    const symbol = this.#symbols[place] ?? -1;
    const right = this.#next[place] ?? this.#symbols.length;
    if (symbol < 0 || right >= this.#symbols.length) {
      return;
    }
    // The entry is out of date if the neighbours have become others, unless those are merged into the same.
    const result = results[rank] ?? -1;
    const now = rankOf(this.#table, symbol, this.#symbols[right] ?? -1);
    if (now < 0 || results[now] !== result) {
      return;
    }
    const next = this.#next[right] ?? this.#symbols.length;
    this.#symbols[place] = result;
    this.#symbols[right] = -1;
    this.#next[place] = next;
    const previous = this.#previous[place] ?? -1;
    if (next < this.#symbols.length) {
      this.#previous[next] = place;
      this.#look(place, next);
    }
    if (previous >= 0) {
      this.#look(previous, place);
    }
  }
}
