/** The merges of a vocabulary, as they are read and as they are used. */
import { mergeTable, type MergeTable } from "./merge-table.ts";
import { neighboursOf, type Neighbours } from "./neighbours.ts";

/** Merges of symbols, which are ids of the vocabulary, or indices of `symbols` where there are such. */
export interface Merges {
  table: MergeTable;
  neighbours: Neighbours;
  symbols?: string[];
}

/** Collects merges of symbols by rank. */
export class MergesBuilder {
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #results: Int32Array;
  readonly #texts: string[] = [];

  constructor(count: number) {
    this.#lefts = new Int32Array(count);
    this.#rights = new Int32Array(count);
    this.#results = new Int32Array(count);
  }

  add(left: number, right: number, result: number, text: string): void {
    const rank = this.#texts.push(text) - 1;
    this.#lefts[rank] = left;
    this.#rights[rank] = right;
    this.#results[rank] = result;
  }

  finish(): Merges {
    return {
      table: mergeTable(this.#lefts, this.#rights, this.#results),
      neighbours: neighboursOf(this.#texts),
    };
  }
}
