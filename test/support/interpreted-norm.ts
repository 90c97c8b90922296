/** A norm of one row, in f64 or with every intermediate result rounded to f32. */
import type { NormOp } from "../../src/runtime/program.ts";

export interface NormWeights {
  gain: ArrayLike<number>;
  bias: ArrayLike<number> | undefined;
  round: (value: number) => number;
}

/** The norm of a row, head by head. */
export function normedRow(op: NormOp, row: Float64Array, weights: NormWeights): Float64Array {
  const columns = row.length / (op.heads ?? 1);
  const out = row.slice();
  for (let from = 0; from < row.length; from += columns) {
    out.set(normedHead(op, row.subarray(from, from + columns), weights), from);
  }
  return out;
}

function normedHead(op: NormOp, input: Float64Array, { gain, bias, round }: NormWeights): Float64Array {
  const sum = (values: Float64Array): number => values.reduce((total, value) => round(total + value), 0);
  const center = op.kind === "rms" ? 0 : round(sum(input) / input.length);
  const row = input.map((value) => round(value - center));
  const mean = round(sum(row.map((value) => round(value * value))) / row.length);
  const scale = round(1 / Math.sqrt(mean + op.epsilon));
  const scaled = row.map((value, i) => round(round(value * scale) * gain[i]));
  return bias === undefined ? scaled : scaled.map((value, i) => round(value + bias[i]));
}
