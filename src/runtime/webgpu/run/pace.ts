/**
 * Waits for the GPU without burning a core. Dawn's Node binding polls for as long as a promise of its own is pending, with
 * setImmediate, tens of thousands of times a second. So nothing is asked of it before the answer is nearly due: results
 * come at regular intervals, and the time of the next one is known from those before.
 */

/** The shortest sleep. Timers fire up to a millisecond late: below this a poll is cheaper than a late answer. */
const SHORTEST_SLEEP_MILLISECONDS = 3;
/** Fraction of an interval to sleep: a result that comes sooner than expected is late by at most the rest. */
const SLEEP_FRACTION = 0.75;

export class Pace {
  #last: number | undefined;
  #interval = 0;

  /** Sleeps until the next result is nearly due. */
  async sleep(now = performance.now()): Promise<void> {
    const milliseconds = this.milliseconds(now);
    if (milliseconds > 0) {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  }

  /** Milliseconds to sleep from `now` on; 0 when it is not worth it. */
  milliseconds(now: number): number {
    if (this.#last === undefined) {
      return 0;
    }
    const rest = this.#last + SLEEP_FRACTION * this.#interval - now;
    return rest >= SHORTEST_SLEEP_MILLISECONDS ? Math.floor(rest) : 0;
  }

  /**
   * To be called when a result comes. The shortest of recent intervals counts: a late event loop must not make later
   * ones later.
   */
  tick(now = performance.now()): void {
    if (this.#last !== undefined) {
      const interval = now - this.#last;
      this.#interval = this.#interval === 0 ? interval : Math.min(interval, 1.25 * this.#interval);
    }
    this.#last = now;
  }
}
