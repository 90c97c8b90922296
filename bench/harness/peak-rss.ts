/** Finds the most memory that the process had in use while something was going on. */

const INTERVAL_MILLISECONDS = 100;

/**
 * Samples the resident set size ten times a second and whenever asked. The system's own lifetime peak (maxRSS) would be
 * exact, but it includes what the file-read measurement took and gave back before. A runtime allocates its weights,
 * cache and scratch once and keeps them, so that samples do not miss a peak worth naming.
 */
export class PeakRss {
  #peak = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.sample();
    this.#timer = setInterval(() => {
      this.sample();
    }, INTERVAL_MILLISECONDS);
    this.#timer.unref();
  }

  sample(): void {
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss());
  }

  /** Ends the sampling. Returns bytes. */
  stop(): number {
    clearInterval(this.#timer);
    this.sample();
    return this.#peak;
  }
}
