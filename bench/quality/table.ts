/** Writes the result of the benchmark of quality. */
import { alignColumns } from "../../src/base/text-table.ts";
import type { QualityResult, QualityRow } from "./run.ts";

export function toQualityTable({ model, device, text, tokens, window, rows }: QualityResult): string {
  const base = rows[0].perplexity;
  const table = rows.map((row) => [
    row.weights,
    row.weights === "none" ? "" : row.activations,
    row.perplexity.toFixed(4),
    signed(100 * (row.perplexity / base - 1)),
    row.weights === "none" ? "" : row.meanDivergence.toPrecision(4),
    row.weights === "none" ? "" : row.divergence99.toPrecision(4),
    row.weights === "none" ? "" : `${(100 * row.sameTop).toFixed(2)} %`,
    row.worstError === undefined ? "" : `${(100 * row.worstError).toFixed(2)} % (${row.worstMatrix})`,
    row.bitsPerWeight?.toFixed(2) ?? "",
  ]);
  return [
    `${model}: ${device}; ${tokens} tokens of ${text} in sequences of ${window}`,
    "",
    ...alignColumns([
      [
        "weights",
        "activations",
        "perplexity",
        "more",
        "mean KL",
        "99 % KL",
        "same top token",
        "worst matrix",
        "bits a weight",
      ],
      ...table,
    ]),
  ].join("\n");
}

function signed(percent: number): string {
  return `${percent < 0 ? "" : "+"}${percent.toFixed(3)} %`;
}

export function toQualityJson({ rows, ...rest }: QualityResult): object {
  const base = rows[0].perplexity;
  return {
    ...rest,
    rows: rows.map((row: QualityRow) => ({
      weights: row.weights,
      activations: row.activations,
      positions: row.positions,
      perplexity: row.perplexity,
      perplexity_increase: row.perplexity / base - 1,
      mean_kl: row.meanDivergence,
      p99_kl: row.divergence99,
      same_top_token: row.sameTop,
      worst_matrix_error: row.worstError ?? null,
      worst_matrix: row.worstMatrix ?? null,
      bits_per_weight: row.bitsPerWeight ?? null,
    })),
  };
}
