/**
 * The filters of sampling before each step of beam sampling: temperature, top-k, top-p, min-p, on one beam's
 * log-probabilities. As in transformers each leaves at least one token more than there are end-of-sequence tokens, so that
 * a beam can go on.
 */
import {
  applyTemperature,
  argmax,
  keepFinite,
  keepMinP,
  keepNucleus,
  keepTopK,
  weigh,
  type TokenList,
} from "./logits-processors.ts";
import type { ResolvedSampling } from "./options.ts";

export class Warper {
  readonly #sampling: ResolvedSampling;
  readonly #least: number;
  readonly #candidates: TokenList;
  readonly #weights: Uint32Array;
  readonly #order: Int32Array;
  readonly #heap: Float32Array;
  readonly #leastHeap: Float32Array;
  readonly #kept: Float32Array;

  /** @param least the number of tokens that every filter leaves */
  constructor(sampling: ResolvedSampling, vocabSize: number, least: number) {
    this.#sampling = sampling;
    this.#least = Math.min(least, vocabSize);
    this.#candidates = { ids: new Int32Array(vocabSize), size: 0 };
    this.#weights = new Uint32Array(vocabSize);
    this.#order = new Int32Array(vocabSize);
    this.#heap = new Float32Array(
      sampling.topK === 0 ? 0 : Math.min(Math.max(sampling.topK, least), vocabSize),
    );
    this.#leastHeap = new Float32Array(this.#least);
    this.#kept = new Float32Array(vocabSize);
  }

  /**
   * Filters the scores of one beam.
   *
   * @param scores f32 [vocabulary], changed in place: −Infinity for what is filtered out
   */
  apply(scores: Float32Array): void {
    const { temperature, topP, minP } = this.#sampling;
    const candidates = this.#candidates;
    applyTemperature(scores, temperature);
    const highest = scores[argmax(scores)] ?? -Infinity;
    if (highest === -Infinity) {
      return;
    }
    if (this.#heap.length > 0) {
      this.#keep(scores, () => {
        keepTopK(scores, this.#heap, candidates);
      });
    }
    if (topP < 1) {
      this.#keep(scores, () => {
        keepFinite(scores, candidates);
        const total = weigh(scores, highest, candidates, this.#weights);
        keepNucleus(scores, this.#weights, total, topP, this.#order, candidates);
        this.#keepLeast(scores);
      });
    }
    if (minP > 0) {
      this.#keep(scores, () => {
        keepFinite(scores, candidates);
        keepMinP(scores, highest, minP, candidates);
        this.#keepLeast(scores);
      });
    }
  }

  /** Adds to the tokens that a filter has left, which are the likeliest, where they are fewer than `least`. */
  #keepLeast(scores: Float32Array): void {
    if (this.#candidates.size < this.#least) {
      keepTopK(scores, this.#leastHeap, this.#candidates);
    }
  }

  #keep(scores: Float32Array, filter: () => void): void {
    filter();
    const { ids, size } = this.#candidates;
    this.#kept.fill(-Infinity);
    for (const token of ids.subarray(0, size)) {
      this.#kept[token] = scores[token] ?? 0;
    }
    scores.set(this.#kept);
  }
}
