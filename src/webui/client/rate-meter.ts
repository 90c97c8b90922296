/**
 * Measures the tokens per second of a stream as they arrive, over the last seconds, so that it shows what happens now.
 */

/** Milliseconds over which the rate is measured. */
const WINDOW = 3000;
/** The fewest samples that are kept, however old they are: slow models send fewer in a window. */
const FEWEST_SAMPLES = 6;

interface Sample {
  readonly tokens: number;
  /** Time of arrival in milliseconds, on any clock that does not go back. */
  readonly at: number;
}

/** A meter of one stream. */
export class RateMeter {
  #samples: Sample[] = [];

  /** Counts tokens that arrived at `at` (milliseconds). */
  add(tokens: number, at: number): void {
    if (tokens <= 0) {
      return;
    }
    this.#samples.push({ tokens, at });
    while (this.#samples.length > FEWEST_SAMPLES && (this.#samples[1]?.at ?? at) < at - WINDOW) {
      this.#samples.shift();
    }
  }

  /** Forgets what arrived: what follows is something else. */
  reset(): void {
    this.#samples = [];
  }

  /** Tokens per second at `now`, falling when nothing more arrives; undefined before two arrivals tell a time. */
  rate(now: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) {
      return undefined;
    }
    // The tokens of the first arrival took time before it, which nobody knows.
    const tokens = this.#samples.reduce((sum, sample) => sum + sample.tokens, -first.tokens);
    const gap = (last.at - first.at) / (this.#samples.length - 1);
    const isLate = now - last.at > 2 * gap;
    return (1000 * tokens) / ((isLate ? now : last.at) - first.at);
  }
}
