/** Measures how fast a transfer goes, and how long it still takes. */
import { formatBytes } from "../base/bytes.ts";

/** The milliseconds over which the rate is measured: long enough to be calm, short enough to show a change. */
const WINDOW = 10_000;
/** Milliseconds below which a measured rate would only be a guess. */
const LEAST = 2000;

/** How far a transfer is, in bytes. */
export interface Transfer {
  /** Bytes that have come. */
  readonly done: number;
  /** Bytes that come in all. */
  readonly total: number;
}

export class TransferMeter {
  #samples: { readonly done: number; readonly at: number }[] = [];
  #total = 0;

  /**
   * The line that shows a transfer: "Fetching the model: 1.23 GB of 6.15 GB (20 %), 45.1 MB/s, 1 min 49 s left"
   *
   * @param what what is done with the bytes
   * @param now the time in milliseconds, on a clock that does not go back
   */
  text(what: string, { done, total }: Transfer, now: number): string {
    const rate = this.#rate(done, total, now);
    const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
    const parts = [`${what}: ${formatBytes(done)} of ${formatBytes(total)} (${percent} %)`];
    if (rate !== undefined) {
      parts.push(`${(rate / 1e6).toFixed(1)} MB/s`);
    }
    if (rate !== undefined && rate > 0) {
      parts.push(`${timeText((total - done) / rate)} left`);
    }
    return parts.join(", ");
  }

  /** The bytes per second over the last seconds; undefined before there is enough to tell. */
  #rate(done: number, total: number, now: number): number | undefined {
    const last = this.#samples.at(-1);
    // This is another transfer, or one that had to begin anew. What was there before it did not come over the network.
    if (total !== this.#total || (last !== undefined && done < last.done)) {
      this.#samples = [];
    }
    this.#total = total;
    // The time before the first bytes says nothing about the rest.
    if (this.#samples.length === 1 && this.#samples[0]?.done === done) {
      this.#samples = [];
    }
    this.#samples.push({ done, at: now });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? now) < now - WINDOW) {
      this.#samples.shift();
    }
    const first = this.#samples[0];
    if (first === undefined || now - first.at < LEAST) {
      return undefined;
    }
    return (1000 * (done - first.done)) / (now - first.at);
  }
}

/** A time as text: "2 h 5 min", "1 min 49 s", "12 s". */
function timeText(seconds: number): string {
  const rounded = Math.max(1, Math.round(seconds));
  const minutes = Math.floor(rounded / 60);
  if (minutes === 0) {
    return `${rounded} s`;
  }
  if (minutes < 60) {
    return `${minutes} min ${rounded % 60} s`;
  }
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
