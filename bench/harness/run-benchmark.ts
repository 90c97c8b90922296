/** Runs a benchmark of a model on a device, in its order. */
import { checkAgainstCpu } from "./check.ts";
import type { BenchDevice } from "./bench-device.ts";
import { gpuDevice, wasmDevice } from "./devices.ts";
import type { BenchFlags } from "./flags.ts";
import { prefillFlops } from "./flops.ts";
import { measureLoading, warmFileCache } from "./loading.ts";
import { thisMachine } from "./machine.ts";
import { measureDecode, measurePrefill, warmUp } from "./passes.ts";
import { profileModel } from "./profiles.ts";
import type { Progress } from "./progress.ts";
import type { BenchResult } from "./result.ts";
import { scale, summarize } from "./statistics.ts";
import { extentsOf, openSubject, type Subject } from "./subject.ts";
import { randomTokens } from "./workload.ts";

const PREFILL_SEED = 1;
const DECODE_SEED = 2;
/** Length of the prompt for the time to the first token. */
const SHORT_PROMPT_TOKENS = 16;

/**
 * Runs the benchmark.
 *
 * @throws ModelComposeError for a flag, a model or a machine that does not fit, and for results that are wrong
 */
export async function runBenchmark(flags: BenchFlags, progress: Progress): Promise<BenchResult> {
  const subject = await openSubject(flags.model, flags);
  const { program, contextLength } = subject;
  const extents = extentsOf(subject);
  const device = await openDevice(subject, flags, progress);
  const prompt = randomTokens(flags.promptTokens, program.vocabSize, PREFILL_SEED);
  const decodePrompt = randomTokens(flags.decodePromptTokens, program.vocabSize, DECODE_SEED);
  const shortPrompt = randomTokens(
    Math.min(SHORT_PROMPT_TOKENS, contextLength),
    program.vocabSize,
    PREFILL_SEED,
  );
  const isFileCacheWarm = await warmFileCache(extents, device.readers, progress);
  const loading = { repeat: flags.repeat, prompt: shortPrompt };
  const { model, peakRss, ...loaded } = await measureLoading(device, extents, loading, progress);
  try {
    const { executable, cpu, gpu } = model;
    await warmUp(model, prompt, progress);
    const prefilled = await measurePrefill(model, prompt, flags.repeat, progress);
    const decoded = await measureDecode(model, decodePrompt, flags, progress);
    const peakRssBytes = peakRss.stop();
    const flops = prefillFlops(program, flags.promptTokens);
    const flopsPerSecond = scale(prefilled.rate, flops / flags.promptTokens);
    const result: BenchResult = {
      model: flags.model,
      family: program.family,
      device: executable.device.description,
      quantization: flags.quantization,
      promptTokens: flags.promptTokens,
      decodePromptTokens: flags.decodePromptTokens,
      newTokens: flags.newTokens,
      contextLength,
      repeat: flags.repeat,
      machine: thisMachine(),
      ...loaded,
      isFileCacheWarm,
      firstTokenPromptTokens: shortPrompt.length,
      prefillTokensPerSecond: prefilled.rate,
      prefillFlops: flops,
      prefillFlopsPerSecond: flopsPerSecond,
      decodeTokensPerSecond: decoded.rate,
      readBandwidth: decoded.bandwidth.rate,
      readShape: decoded.bandwidth.shape,
      decodeBandwidthFraction: decoded.bandwidthFraction,
      nonKernelFraction: decoded.nonKernel,
      contended: decoded.contended,
      memory: executable.memory,
      peakRssBytes,
    };
    const { fmaPeak } = prefilled;
    if (cpu !== undefined && fmaPeak !== undefined) {
      const { threads, kernelBuild } = cpu;
      const prefillPeakFraction = scale(flopsPerSecond, 1 / fmaPeak.median);
      result.cpu = { threads, kernelBuild, fmaPeakFlops: fmaPeak, prefillPeakFraction };
    }
    if (gpu !== undefined) {
      const { costs, tokens } = decoded;
      result.gpu = {
        adapter: gpu.summary,
        prefillMode: flags.prefill,
        dispatchesPerToken: costs[0].dispatches,
        encodeMilliseconds: summarize(costs.map(({ encodeMilliseconds }) => encodeMilliseconds)),
        submitMilliseconds: summarize(costs.map(({ submitMilliseconds }) => submitMilliseconds)),
      };
      if (flags.profile) {
        const lengths = { prompt, decodePrompt, newTokens: flags.newTokens };
        result.gpu.profiles = await profileModel(gpu.executable, lengths, progress);
      }
      if (flags.check) {
        const output = { prompt, logits: prefilled.logits, decodePrompt, tokens };
        result.gpu.check = await checkAgainstCpu(subject, flags, output, progress);
      }
    }
    return result;
  } finally {
    peakRss.stop();
    await model.executable.dispose();
  }
}

async function openDevice(subject: Subject, flags: BenchFlags, progress: Progress): Promise<BenchDevice> {
  const { device } = flags;
  return device.kind === "wasm"
    ? wasmDevice(subject, flags, progress)
    : gpuDevice(subject, { name: device.adapter, ...flags }, progress);
}
