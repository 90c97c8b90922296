/** What repeated measurements are reduced to. */

/** What is kept of repeated measurements, in their unit. */
export interface Summary {
  median: number;
  min: number;
  max: number;
}

/**
 * The middle value, or the mean of the two in the middle of an even count.
 *
 * @throws RangeError when there are no values
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) {
    throw new RangeError("median of no values");
  }
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[upper] : (sorted[upper - 1] + sorted[upper]) / 2;
}

export function summarize(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** A summary with every value times a positive factor: how a rate becomes a fraction of a peak. */
export function scale({ median, min, max }: Summary, factor: number): Summary {
  return { median: median * factor, min: min * factor, max: max * factor };
}
