/** What a benchmark reports, and its form as JSON. Names and units of the JSON are an interface: scripts compare them. */
import type { MemoryUse } from "../../src/runtime/backend.ts";
import type { PrefillMode } from "../../src/runtime/device-types.ts";
import type { AdapterSummary } from "../../src/runtime/webgpu/run/adapter-summary.ts";
import type { CheckResult } from "./check.ts";
import { machineJson, type Machine } from "./machine.ts";
import { profileRows, type ProfileRow, type Profiles } from "./profiles.ts";
import type { Summary } from "./statistics.ts";

/** What was run, and what came out in the units that the names say: bytes, seconds, numbers a second. */
export interface BenchResult {
  /** Name or folder of the model. */
  model: string;
  family: string;
  device: string;
  /** What weights became while they were loaded. */
  quantization: string;
  promptTokens: number;
  decodePromptTokens: number;
  newTokens: number;
  contextLength: number;
  repeat: number;
  machine: Machine;
  loadSeconds: Summary;
  fileReadSeconds: Summary;
  /**
   * Whether the files lay in memory; false: they and their copy do not fit together, so that reads went to the disk.
   */
  isFileCacheWarm: boolean;
  /** Seconds to the first token of the first prompt after loading. */
  firstTokenSeconds: Summary;
  firstTokenPromptTokens: number;
  prefillTokensPerSecond: Summary;
  prefillFlops: number;
  prefillFlopsPerSecond: Summary;
  decodeTokensPerSecond: Summary;
  readBandwidth: Summary;
  readShape: string;
  decodeBandwidthFraction: Summary;
  /** Fraction of a decode in which no kernel ran; undefined where the device cannot measure its kernels. */
  nonKernelFraction: Summary | undefined;
  /** Decodes beside busy processes, with --contended. */
  contended: { processes: number; decodeTokensPerSecond: Summary } | undefined;
  memory: MemoryUse;
  peakRssBytes: number;
  cpu?: CpuResult;
  gpu?: GpuResult;
}

/** What only the CPU has. */
export interface CpuResult {
  threads: number;
  kernelBuild: string;
  fmaPeakFlops: Summary;
  prefillPeakFraction: Summary;
}

/** What only the GPU has. */
export interface GpuResult {
  adapter: AdapterSummary;
  prefillMode: PrefillMode;
  dispatchesPerToken: number;
  /** Milliseconds of the calling thread that encoding a token takes. */
  encodeMilliseconds: Summary;
  submitMilliseconds: Summary;
  /** Times of kernels, with --profile. */
  profiles?: Profiles;
  /** Comparison with the CPU, with --check. */
  check?: CheckResult;
}

type Json = Record<string, string | number | boolean | readonly ProfileRow[]>;

/**
 * The result as JSON, flat but for profiles; a repeated measurement `x` is its median, beside it are `x_min` and
 * `x_max`.
 */
export function toJson(result: BenchResult): Json {
  const { cpu, gpu, memory } = result;
  return {
    model: result.model,
    family: result.family,
    device: result.device,
    quantization: result.quantization,
    ...(cpu && { kernel_build: cpu.kernelBuild, threads: cpu.threads }),
    ...(gpu && adapterJson(gpu)),
    prompt_tokens: result.promptTokens,
    decode_prompt_tokens: result.decodePromptTokens,
    new_tokens: result.newTokens,
    context_length: result.contextLength,
    repeat: result.repeat,
    ...machineJson(result.machine),
    ...spread("load_seconds", result.loadSeconds),
    ...spread("file_read_seconds", result.fileReadSeconds),
    file_cache_warm: result.isFileCacheWarm,
    ...spread("time_to_first_token_seconds", result.firstTokenSeconds),
    time_to_first_token_prompt_tokens: result.firstTokenPromptTokens,
    ...spread("prefill_tokens_per_second", result.prefillTokensPerSecond),
    prefill_flops: result.prefillFlops,
    ...spread("prefill_flops_per_second", result.prefillFlopsPerSecond),
    ...(cpu && spread("fma_peak_flops", cpu.fmaPeakFlops)),
    ...(cpu && spread("prefill_peak_fraction", cpu.prefillPeakFraction)),
    ...spread("decode_tokens_per_second", result.decodeTokensPerSecond),
    weight_bytes_per_token: memory.weightBytesPerToken,
    ...spread(`${gpu ? "gpu_" : ""}read_bandwidth_bytes_per_second`, result.readBandwidth),
    read_bandwidth_shape: result.readShape,
    ...spread("decode_bandwidth_fraction", result.decodeBandwidthFraction),
    ...(gpu && stepJson(gpu)),
    ...(result.nonKernelFraction && spread("non_kernel_fraction", result.nonKernelFraction)),
    ...(result.contended && {
      contended_processes: result.contended.processes,
      ...spread("contended_decode_tokens_per_second", result.contended.decodeTokensPerSecond),
    }),
    weight_bytes: memory.weightBytes,
    kv_cache_bytes: memory.kvCacheBytes,
    work_bytes: memory.workBytes,
    peak_rss_bytes: result.peakRssBytes,
    ...(gpu?.check && checkJson(gpu.check)),
    ...(gpu?.profiles && profilesJson(gpu.profiles, result.readBandwidth.median)),
  };
}

function adapterJson({ adapter, prefillMode }: GpuResult): Json {
  return {
    adapter: adapter.name,
    adapter_backend: adapter.backend,
    adapter_driver: adapter.description,
    adapter_is_software: adapter.isSoftware,
    prefill_mode: prefillMode,
  };
}

function stepJson({ dispatchesPerToken, encodeMilliseconds, submitMilliseconds }: GpuResult): Json {
  return {
    dispatches_per_token: dispatchesPerToken,
    ...spread("encode_ms_per_token", encodeMilliseconds),
    ...spread("submit_ms_per_token", submitMilliseconds),
  };
}

function checkJson(check: CheckResult): Json {
  return {
    check_passed: check.passed,
    check_device: check.device,
    check_tokens: check.tokens,
    check_equal_tokens: check.equalTokens,
    check_largest_margin: check.largestMargin,
    check_prefill_nmse: check.prefillNmse,
    check_prefill_same_token: check.samePrefillToken,
  };
}

function profilesJson({ decode, prefill }: Profiles, readBandwidth: number): Json {
  return {
    profile_decode: profileRows(decode, readBandwidth),
    profile_prefill: profileRows(prefill, readBandwidth),
  };
}

function spread(name: string, { median, min, max }: Summary): Record<string, number> {
  return { [name]: median, [`${name}_min`]: min, [`${name}_max`]: max };
}
