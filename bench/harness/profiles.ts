/** Reports where the GPU's time goes, kernel by kernel. */
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { profileDecodeStep, profilePrefill, type KernelTime } from "./gpu-profile.ts";
import type { Progress } from "./progress.ts";
import { alignColumns } from "../../src/base/text-table.ts";
import { greedyDecode } from "./workload.ts";

/** Times of kernels in a decode step and in a prefill. */
export interface Profiles {
  /** Kernels of a token in the middle of the decode. */
  decode: readonly KernelTime[];
  prefill: readonly KernelTime[];
}

/** Profiles a decode step and a prefill; the decode's prompt and its tokens are in the cache. */
export async function profileModel(
  executable: WebGpuExecutable,
  { prompt, decodePrompt, newTokens }: { prompt: Int32Array; decodePrompt: Int32Array; newTokens: number },
  progress: Progress,
): Promise<Profiles> {
  progress.phase("Profiling a decode step");
  const position = decodePrompt.length - 1 + (newTokens >> 1);
  const request = { ...greedyDecode(decodePrompt, 1, () => undefined), position };
  const decode = await profileDecodeStep(executable, request);
  progress.phase("Profiling a prefill");
  return { decode, prefill: await profilePrefill(executable, prompt) };
}

/** A kernel in the JSON of a benchmark. */
export interface ProfileRow {
  kernel: string;
  dispatches: number;
  seconds: number;
  /** Fraction of the time of all kernels. */
  share: number;
  bytes: number;
  bytes_per_second: number;
  /** Fraction of the measured read bandwidth. */
  bandwidth_fraction: number;
}

/**
 * The kernels as rows, in the same order.
 *
 * @param readBandwidth measured read bandwidth, in bytes a second
 */
export function profileRows(kernels: readonly KernelTime[], readBandwidth: number): ProfileRow[] {
  const total = kernels.reduce((sum, { seconds }) => sum + seconds, 0);
  return kernels.map(({ name, dispatches, seconds, bytes }) => {
    // A coarse clock may see no time at all go by; no rate then is better than an infinite one.
    const rate = seconds > 0 ? bytes / seconds : 0;
    return {
      kernel: name,
      dispatches,
      seconds,
      share: total > 0 ? seconds / total : 0,
      bytes,
      bytes_per_second: rate,
      bandwidth_fraction: rate / readBandwidth,
    };
  });
}

export function profileTable(title: string, rows: readonly ProfileRow[]): string {
  const [dispatches, seconds, bytes] = (["dispatches", "seconds", "bytes"] as const).map((key) =>
    rows.reduce((sum, row) => sum + row[key], 0),
  );
  const cells = (
    row: Omit<ProfileRow, "bandwidth_fraction" | "bytes_per_second">,
    rates: string[],
  ): string[] => [
    row.kernel,
    String(row.dispatches),
    `${(row.seconds * 1000).toFixed(3)} ms`,
    `${(100 * row.share).toFixed(1)} %`,
    `${(row.bytes / 1e6).toFixed(2)} MB`,
    ...rates,
  ];
  const lines = alignColumns([
    ["kernel", "dispatches", "time", "share", "bytes", "rate", "of the read bandwidth"],
    ...rows.map((row) =>
      cells(row, [
        `${(row.bytes_per_second / 1e9).toPrecision(3)} GB/s`,
        `${(100 * row.bandwidth_fraction).toFixed(1)} %`,
      ]),
    ),
    cells({ kernel: "all", dispatches, seconds, share: 1, bytes }, []),
  ]);
  return [title, ...lines].join("\n");
}
