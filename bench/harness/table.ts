/** Writes a benchmark's result for people. */
import { machineText } from "./machine.ts";
import { profileRows, profileTable } from "./profiles.ts";
import type { BenchResult } from "./result.ts";
import type { Summary } from "./statistics.ts";
import { alignColumns } from "../../src/base/text-table.ts";

type Format = (value: number) => string;

const seconds: Format = (value) => `${significant(value)} s`;
const rate: Format = (value) => `${significant(value)} tokens/s`;
const percent: Format = (value) => `${(100 * value).toFixed(1)} %`;
const bandwidth: Format = (value) => `${(value / 1e9).toFixed(2)} GB/s`;
const flops: Format = (value) => `${(value / 1e9).toFixed(1)} GFLOP/s`;
const milliseconds: Format = (value) => `${value.toFixed(3)} ms`;
const megabytes: Format = (value) => `${(value / 1e6).toFixed(1)} MB`;

const significant: Format = (value) => (value >= 100 ? value.toFixed(1) : value.toPrecision(3));

/** The result as a table. Columns: what, median, min to max, and beside it what it is to be compared with. */
export function toTable(result: BenchResult): string {
  const row = (name: string, summary: Summary, format: Format, note = ""): string[] => [
    name,
    format(summary.median),
    result.repeat === 1 && summary.min === summary.max
      ? ""
      : `${format(summary.min)} to ${format(summary.max)}`,
    note,
  ];
  const { contended, cpu, gpu, memory, nonKernelFraction } = result;
  const overhead = result.peakRssBytes - memory.weightBytes - memory.kvCacheBytes;
  const rows = [
    ["", "median", "min to max", ""],
    row(
      "file read",
      result.fileReadSeconds,
      seconds,
      `${megabytes(memory.weightBytes)}${result.isFileCacheWarm ? "" : ", not from the file cache"}`,
    ),
    row(
      "load",
      result.loadSeconds,
      seconds,
      `${(result.loadSeconds.median / result.fileReadSeconds.median).toFixed(2)} x file read`,
    ),
    row(
      "first token after load",
      result.firstTokenSeconds,
      seconds,
      `of a prompt of ${result.firstTokenPromptTokens}`,
    ),
    row("prefill", result.prefillTokensPerSecond, rate, `${result.promptTokens} tokens`),
    row("prefill", result.prefillFlopsPerSecond, flops),
    ...(cpu === undefined
      ? []
      : [
          row("multiply-add peak", cpu.fmaPeakFlops, flops),
          row("prefill / peak", cpu.prefillPeakFraction, percent),
        ]),
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
      `${megabytes(memory.weightBytesPerToken)} a token`,
    ),
    ...(gpu === undefined
      ? []
      : [
          row("encode a token", gpu.encodeMilliseconds, milliseconds, `${gpu.dispatchesPerToken} dispatches`),
          row("submit a token", gpu.submitMilliseconds, milliseconds),
        ]),
    ...(nonKernelFraction === undefined
      ? []
      : [row("outside kernels", nonKernelFraction, percent, "of decode")]),
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
    ["KV cache", megabytes(memory.kvCacheBytes), "", `${result.contextLength} tokens`],
    [
      "peak RSS",
      megabytes(result.peakRssBytes),
      "",
      cpu === undefined ? "" : `weights + KV cache + ${megabytes(overhead)}`,
    ],
  ];
  const kernels = cpu === undefined ? "" : `, ${cpu.kernelBuild} kernels`;
  const held = result.quantization === "none" ? "" : `, ${result.quantization}`;
  const mode = gpu === undefined ? "" : `, ${gpu.prefillMode} prefill`;
  const driver =
    gpu === undefined ? [] : [`${gpu.adapter.name}, ${gpu.adapter.description || "unknown driver"}`];
  const head = [
    `${result.model}: ${result.device}${kernels}${held}${mode}, repeat ${result.repeat}`,
    ...driver,
    machineText(result.machine),
  ];
  return [...head, "", ...alignColumns(rows), ...checkLines(result), ...profileLines(result)].join("\n");
}

function checkLines({ gpu }: BenchResult): string[] {
  if (gpu?.check === undefined) {
    return [];
  }
  const { passed, device, tokens, equalTokens, largestMargin, prefillNmse, samePrefillToken } = gpu.check;
  const margin =
    equalTokens === tokens ? "" : ` (elsewhere by logits at most ${largestMargin.toPrecision(3)} apart)`;
  return [
    "",
    `${passed ? "Checked" : "CHECK FAILED"} against ${device}: ${equalTokens} of ${tokens} tokens are equal${margin}; ` +
      `prefill: ${samePrefillToken ? "same" : "another"} token, NMSE of its logits ${prefillNmse.toExponential(1)}.`,
  ];
}

function profileLines({
  gpu,
  newTokens,
  decodePromptTokens,
  promptTokens,
  readBandwidth,
}: BenchResult): string[] {
  if (gpu?.profiles === undefined) {
    return [];
  }
  const { decode, prefill } = gpu.profiles;
  const middle = decodePromptTokens + (newTokens >> 1);
  return [
    "",
    profileTable(
      `A token after ${middle}, each dispatch by itself`,
      profileRows(decode, readBandwidth.median),
    ),
    "",
    profileTable(
      `A prefill of ${promptTokens} tokens, each dispatch by itself`,
      profileRows(prefill, readBandwidth.median),
    ),
  ];
}
