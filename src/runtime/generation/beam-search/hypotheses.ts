/**
 * The finished sequences of one beam search and whether it can end: scores, length penalty and stopping rules of
 * transformers 5.x (`_update_finished_beams`, `_check_early_stop_heuristic`), in f32.
 */

/** A finished sequence, `value`, with its score. */
export interface Hypothesis<T> {
  /** Log-probability over length to the power of the length penalty, f32. */
  score: number;
  value: T;
}

/** What decides which finished sequences are kept and when a search ends. */
export interface HypothesisRules {
  /** How many finished sequences are kept. */
  count: number;
  lengthPenalty: number;
  earlyStopping: boolean | "never";
  /** New tokens that a sequence has at most. */
  limit: number;
}

/** The best finished sequences of one beam search. */
export class Hypotheses<T> {
  readonly #rules: HypothesisRules;
  #best: Hypothesis<T>[] = [];

  constructor(rules: HypothesisRules) {
    this.#rules = rules;
  }

  /** The sequences that are kept, best first; of equal scores the one that finished first comes first. */
  get best(): readonly Hypothesis<T>[] {
    return this.#best;
  }

  /**
   * Adds a finished sequence, and drops the worst where there are too many.
   *
   * @param logProbability log-probability of the whole sequence
   * @param length number of its new tokens, an end-of-sequence token among them
   */
  add(value: T, logProbability: number, length: number): void {
    const score = this.#score(logProbability, length);
    const place = this.#best.findIndex((other) => other.score < score);
    this.#best.splice(place === -1 ? this.#best.length : place, 0, { score, value });
    this.#best.length = Math.min(this.#best.length, this.#rules.count);
  }

  /**
   * Whether the search is over.
   *
   * @param bestRunning log-probability of the best running sequence
   * @param length number of new tokens that running sequences have
   */
  isEnough(bestRunning: number, length: number): boolean {
    const { count, earlyStopping, lengthPenalty, limit } = this.#rules;
    if (this.#best.length < count) {
      return false;
    }
    if (earlyStopping === true) {
      return true;
    }
    // Log-probabilities only fall, and are negative: with a positive penalty the longest would score best.
    const hypothetical = earlyStopping === "never" && lengthPenalty > 0 ? limit : length;
    const worst = this.#best[count - 1]?.score ?? -Infinity;
    return !(this.#score(bestRunning, hypothetical) > worst);
  }

  #score(logProbability: number, length: number): number {
    return Math.fround(logProbability / Math.fround(length ** this.#rules.lengthPenalty));
  }
}
