/** What a benchmark reports, and its form as JSON. Names and units of the JSON are an interface: scripts compare them. */
import type { ReadShape } from "./measurements.ts";
import type { Summary } from "./statistics.ts";

export interface BenchResult {
  /** What was run. */
  model: string;
  family: string;
  device: string;
  kernelBuild: string;
  threads: number;
  promptTokens: number;
  decodePromptTokens: number;
  newTokens: number;
  contextLength: number;
  repeat: number;
  /** Where. */
  cpuModel: string;
  cores: number;
  platform: string;
  nodeVersion: string;
  version: string;
  /** What came out. Bytes, seconds, a second. */
  loadSeconds: Summary;
  fileReadSeconds: Summary;
  /** False: files and their copy do not fit into memory together, so that reads went to the disk. */
  isFileCacheWarm: boolean;
  prefillTokensPerSecond: Summary;
  prefillFlops: number;
  fmaPeakFlops: Summary;
  prefillPeakFraction: Summary;
  decodeTokensPerSecond: Summary;
  weightBytesPerToken: number;
  readBandwidth: Summary;
  readShape: ReadShape;
  decodeBandwidthFraction: Summary;
  nonKernelFraction: Summary;
  /** With --contended. */
  contended?: { processes: number; decodeTokensPerSecond: Summary };
  weightBytes: number;
  kvCacheBytes: number;
  workBytes: number;
  peakRssBytes: number;
}

/** Flat; a repeated measurement `x` is its median, beside it are `x_min` and `x_max`. */
export function toJson(result: BenchResult): Record<string, string | number | boolean> {
  return {
    model: result.model,
    family: result.family,
    device: result.device,
    kernel_build: result.kernelBuild,
    threads: result.threads,
    prompt_tokens: result.promptTokens,
    decode_prompt_tokens: result.decodePromptTokens,
    new_tokens: result.newTokens,
    context_length: result.contextLength,
    repeat: result.repeat,
    cpu_model: result.cpuModel,
    cores: result.cores,
    platform: result.platform,
    node_version: result.nodeVersion,
    version: result.version,
    ...spread("load_seconds", result.loadSeconds),
    ...spread("file_read_seconds", result.fileReadSeconds),
    file_cache_warm: result.isFileCacheWarm,
    ...spread("prefill_tokens_per_second", result.prefillTokensPerSecond),
    prefill_flops: result.prefillFlops,
    ...spread("fma_peak_flops", result.fmaPeakFlops),
    ...spread("prefill_peak_fraction", result.prefillPeakFraction),
    ...spread("decode_tokens_per_second", result.decodeTokensPerSecond),
    weight_bytes_per_token: result.weightBytesPerToken,
    ...spread("read_bandwidth_bytes_per_second", result.readBandwidth),
    read_bandwidth_shape: result.readShape,
    ...spread("decode_bandwidth_fraction", result.decodeBandwidthFraction),
    ...spread("non_kernel_fraction", result.nonKernelFraction),
    ...(result.contended === undefined
      ? {}
      : {
          contended_processes: result.contended.processes,
          ...spread("contended_decode_tokens_per_second", result.contended.decodeTokensPerSecond),
        }),
    weight_bytes: result.weightBytes,
    kv_cache_bytes: result.kvCacheBytes,
    work_bytes: result.workBytes,
    peak_rss_bytes: result.peakRssBytes,
  };
}

function spread(name: string, { median, min, max }: Summary): Record<string, number> {
  return { [name]: median, [`${name}_min`]: min, [`${name}_max`]: max };
}
