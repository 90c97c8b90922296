/** A benchmark's result for people. */
import type { BenchResult } from "./result.ts";
import type { Summary } from "./statistics.ts";

type Format = (value: number) => string;

const seconds: Format = (value) => `${significant(value)} s`;
const rate: Format = (value) => `${significant(value)} tokens/s`;
const percent: Format = (value) => `${(100 * value).toFixed(1)} %`;
const bandwidth: Format = (value) => `${(value / 1e9).toFixed(2)} GB/s`;
const flops: Format = (value) => `${(value / 1e9).toFixed(1)} GFLOP/s`;
const megabytes: Format = (value) => `${(value / 1e6).toFixed(1)} MB`;

const significant: Format = (value) => (value >= 100 ? value.toFixed(1) : value.toPrecision(3));

/** Columns: what, median, min to max, and beside it what it is to be compared with. */
export function toTable(result: BenchResult): string {
  const row = (name: string, summary: Summary, format: Format, note = ""): string[] => [
    name,
    format(summary.median),
    result.repeat === 1 && summary.min === summary.max
      ? ""
      : `${format(summary.min)} to ${format(summary.max)}`,
    note,
  ];
  const { contended } = result;
  const overhead = result.peakRssBytes - result.weightBytes - result.kvCacheBytes;
  const rows = [
    ["", "median", "min to max", ""],
    row(
      "file read",
      result.fileReadSeconds,
      seconds,
      `${megabytes(result.weightBytes)}${result.isFileCacheWarm ? "" : ", not from the file cache"}`,
    ),
    row(
      "load",
      result.loadSeconds,
      seconds,
      `${(result.loadSeconds.median / result.fileReadSeconds.median).toFixed(2)} x file read`,
    ),
    row("prefill", result.prefillTokensPerSecond, rate, `${result.promptTokens} tokens`),
    row("multiply-add peak", result.fmaPeakFlops, flops),
    row("prefill / peak", result.prefillPeakFraction, percent),
    row(
      "decode",
      result.decodeTokensPerSecond,
      rate,
      `${result.newTokens} tokens after ${result.decodePromptTokens}`,
    ),
    row("read bandwidth", result.readBandwidth, bandwidth, `loop shape: ${result.readShape}`),
    row(
      "decode / bandwidth",
      result.decodeBandwidthFraction,
      percent,
      `${megabytes(result.weightBytesPerToken)} a token`,
    ),
    row("outside kernels", result.nonKernelFraction, percent, "of decode"),
    ...(contended === undefined
      ? []
      : [
          row(
            "decode, contended",
            contended.decodeTokensPerSecond,
            rate,
            `beside ${contended.processes} busy processes`,
          ),
        ]),
    ["KV cache", megabytes(result.kvCacheBytes), "", `${result.contextLength} tokens`],
    ["peak RSS", megabytes(result.peakRssBytes), "", `weights + KV cache + ${megabytes(overhead)}`],
  ];
  const head = [
    `${result.model}: ${result.device}, ${result.kernelBuild} kernels, repeat ${result.repeat}`,
    `${result.cpuModel}, ${result.cores} cores, ${result.platform}, Node ${result.nodeVersion}`,
  ];
  return [...head, "", ...align(rows)].join("\n");
}

function align(rows: readonly string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("   ")
      .trimEnd(),
  );
}
