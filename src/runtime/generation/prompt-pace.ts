/**
 * Sizes the pieces in which prompts are read while texts are decoded beside them: by how long the last ones took, so that a
 * piece holds a text up no longer than a bound.
 */

/** Seconds that a piece may take. */
export const PIECE_SECONDS = 0.1;
/** Rows of the first piece, of which nothing is known. */
const FIRST_ROWS = 32;
/** A piece has at least so many rows: fewer take as long. */
const LEAST_ROWS = 8;

export class PromptPace {
  readonly #most: number;
  readonly #seconds: number;
  #rows: number;

  /**
   * @param most rows of a pass at most
   * @param seconds how long a piece may take
   */
  constructor(most: number, seconds = PIECE_SECONDS) {
    this.#most = most;
    this.#seconds = seconds;
    this.#rows = Math.min(FIRST_ROWS, most);
  }

  /** Rows of the next piece while others are decoded. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Notes how long a piece took. The next is at most twice as large: few rows take longer each than many.
   *
   * @param seconds > 0
   */
  took(rows: number, seconds: number): void {
    const fitting = Math.floor((rows * this.#seconds) / seconds);
    const next = Math.min(fitting, 2 * Math.max(rows, LEAST_ROWS));
    this.#rows = Math.min(this.#most, Math.max(LEAST_ROWS, next));
  }
}
