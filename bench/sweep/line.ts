/** What the sweep finds out about a variant of a kernel. */
export interface SweepLine {
  /** "gemv", "gemm", "attention block", … */
  family: string;
  /** What is computed, such as "down, 2048 rows". */
  shape: string;
  /** The variant, for people. */
  variant: string;
  /** The same as the parameters of the code. */
  parameters: object;
  /** The largest error of its results, as a part of what they are sums of; at most `mostError`. */
  error: number;
  mostError: number;
  /** Seconds of a launch; undefined where nothing was timed. */
  seconds?: number;
  /** Bytes or operations a second. */
  rate?: { value: number; unit: "GB/s" | "TFLOP/s" };
  /** Why there is no result: what the adapter said of the kernel. */
  failure?: string;
}

export function isRight({ error, mostError, failure }: SweepLine): boolean {
  return failure === undefined && error <= mostError;
}

/** The fastest right variant of every shape. */
export function winners(lines: readonly SweepLine[]): SweepLine[] {
  const best = new Map<string, SweepLine>();
  for (const line of lines.filter(isRight)) {
    const key = `${line.family}, ${line.shape}`;
    const known = best.get(key);
    if (known === undefined || (line.seconds ?? 0) < (known.seconds ?? 0)) {
      best.set(key, line);
    }
  }
  return [...best.values()];
}
