/**
 * How many tokens are drafted for each sequence: as many as make the most tokens a second, by how often drafts are right and how
 * long steps of so many rows have taken. Drafts are looked at where none is computed, too, so it is known what they would gain.
 */

/** Tokens that are drafted at most. */
export const MOST_DRAFTS = 3;
/** How much one step weighs in the averages. */
const WEIGHT = 0.1;
/** What a row more costs where that was never measured, as a share of a step. */
const ROW_COST = 0.08;
/** A gain below this is none. */
const LEAST_GAIN = 1.03;

export class DraftPace {
  /** Seconds of a step by its rows, on average. */
  readonly #seconds: (number | undefined)[] = [];
  readonly #most: number;
  /** How often a drafted token is the one that is chosen. */
  #right = 0;

  /** @param most rows of a step at most */
  constructor(most: number) {
    this.#most = most;
  }

  /** Notes whether the first drafted token was chosen. */
  saw(isRight: boolean): void {
    this.#right += WEIGHT * (Number(isRight) - this.#right);
  }

  /** Notes how long a step took. */
  took(rows: number, seconds: number): void {
    const before = this.#seconds[rows];
    this.#seconds[rows] = before === undefined ? seconds : before + WEIGHT * (seconds - before);
  }

  /** Tokens that each of so many sequences should draft. */
  drafts(sequences: number): number {
    const right = Math.min(this.#right, 0.999);
    let best = { drafts: 0, rate: LEAST_GAIN / this.#secondsOf(sequences) };
    for (let drafts = 1; drafts <= MOST_DRAFTS; drafts++) {
      const rows = sequences * (1 + drafts);
      if (rows > this.#most) {
        break;
      }
      // Each draft counts when all before it were right.
      const tokens = (1 - right ** (drafts + 1)) / (1 - right);
      const rate = tokens / this.#secondsOf(rows);
      if (rate > best.rate) {
        best = { drafts, rate };
      }
    }
    return best.drafts;
  }

  /** Seconds of a step of so many rows; where that was never measured, by the next fewer rows that were. */
  #secondsOf(rows: number): number {
    for (let fewer = rows; fewer > 0; fewer--) {
      const seconds = this.#seconds[fewer];
      if (seconds !== undefined) {
        return seconds * (1 + ROW_COST * (rows - fewer));
      }
    }
    // Nothing is known: no step of so many is worth more than one row.
    return rows;
  }
}
