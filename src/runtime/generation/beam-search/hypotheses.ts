/**
 * The finished sequences of one beam search and whether it can end: scores, length penalty and stopping rules of
 * transformers 5.x (`_update_finished_beams`, `_check_early_stop_heuristic`), in f32.
 */

export interface Hypothesis<T> {
  /** Log-probability over length to the power of the length penalty, f32. */
  score: number;
  value: T;
}

export interface HypothesisRules {
  /** Finished sequences that are kept. */
  count: number;
  lengthPenalty: number;
  earlyStopping: boolean | "never";
  /** New tokens that a sequence has at most. */
  limit: number;
}

export class Hypotheses<T> {
  readonly #rules: HypothesisRules;
  #best: Hypothesis<T>[] = [];

  constructor(rules: HypothesisRules) {
    this.#rules = rules;
  }

  /** Best first; of equal scores the one that finished first. */
  get best(): readonly Hypothesis<T>[] {
    return this.#best;
  }

  /**
   * @param logProbability of the whole sequence
   * @param length its new tokens, an end-of-sequence token among them
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
   * @param length new tokens of running sequences
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
