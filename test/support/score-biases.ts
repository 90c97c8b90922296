/** Biases of attention's scores and sinks for tests of its kernels, and what biases come to in f64. */
import { nearestBf16, type ScoreBias } from "../../src/kernels/attention/score-bias.ts";
import { normalNumbers, randomSource } from "./numbers.ts";

/** What a bias adds for a key at `key` and a row at `position`, in f64. @param table as in a case */
export function biasOf(
  bias: ScoreBias | undefined,
  table: ArrayLike<number>,
  head: number,
  { key, position }: { key: number; position: number },
): number {
  switch (bias?.kind) {
    case undefined:
      return 0;
    case "linear":
      return Math.fround(bias.slopes[head]) * (key - position);
    case "rounded": {
      const [of, own] = [key, position].map((p) =>
        nearestBf16(nearestBf16(bias.slopes[head]) * nearestBf16(p)),
      );
      return (of - own) * Math.fround(bias.scale);
    }
    case "table": {
      const { reach } = bias;
      return table[1 + head * (2 * reach + 1) + reach + Math.min(Math.max(key - position, -reach), reach)];
    }
  }
}

/** Biases of each kind for so many heads, and the numbers of their table. */
export function makeBias(kind: ScoreBias["kind"], heads: number): { bias: ScoreBias; table: Float32Array } {
  const slopes = Array.from({ length: heads }, (_, head) => 0.7 ** (head + 1));
  const reach = 40;
  const table = normalNumbers(1 + heads * (2 * reach + 1), randomSource(heads), 2);
  switch (kind) {
    case "linear":
      return { bias: { kind, slopes }, table };
    case "rounded":
      return { bias: { kind, slopes, scale: 0.3 }, table };
    case "table":
      return { bias: { kind, table: "table", reach }, table };
  }
}

/** Sinks of so many heads: of the size of scores, some that change nearly nothing and some that leave nearly nothing. */
export function makeSinks(heads: number): Float32Array {
  return Float32Array.from({ length: heads }, (_, head) => [0.5, -7, 3, 9, -1, 30][head % 6]);
}
