/**
 * The order of a benchmark. What is compared is measured side by side: file reads with loads, the multiply-add peak
 * around each prefill, pure reads between slices of the decodes, so that a noisy neighbour hits both.
 */
import { cpus } from "node:os";
import packageJson from "../../package.json" with { type: "json" };
import { bestKernelBuild } from "../../src/kernels/wasm-module.ts";
import { readModelConfig } from "../../src/models/config.ts";
import { resolveModelDirectory } from "../../src/models/hub.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { openCheckpoint, type Checkpoint } from "../../src/runtime/checkpoint.ts";
import { ModelComposeError } from "../../src/runtime/errors.ts";
import { checkMemory } from "../../src/runtime/memory-check.ts";
import { availableCores, availableMemory } from "../../src/runtime/platform/system.ts";
import type { Program } from "../../src/runtime/program.ts";
import { WasmBackend, type WasmExecutable } from "../../src/runtime/wasm/backend.ts";
import { planBytes } from "../../src/runtime/wasm/plan.ts";
import { besideBusyProcesses } from "./contention.ts";
import { totalBytes, weightExtents, type Extent } from "./extents.ts";
import { readFiles } from "./file-read.ts";
import type { BenchFlags } from "./flags.ts";
import { prefillFlops } from "./flops.ts";
import {
  decode,
  decodeRate,
  type DecodeSlice,
  FmaPeak,
  likeliest,
  nonKernelFraction,
  prefill,
  ReadBandwidth,
  repeatFor,
} from "./measurements.ts";
import { PeakRss } from "./peak-rss.ts";
import type { Progress } from "./progress.ts";
import type { BenchResult } from "./result.ts";
import { scale, summarize, type Summary } from "./statistics.ts";
import { contextLengthFor, randomTokens } from "./workload.ts";

const PREFILL_SEED = 1;
const DECODE_SEED = 2;
const MOST_WARM_UP_READS = 4;
/** The workers are warm after this time, or after one pass of a model that takes longer. */
const WARM_UP_MILLISECONDS = 300;
/** Rows of a pass that warms up; enough for the blocked product. */
const WARM_UP_PROMPT_TOKENS = 32;
const WARM_UP_NEW_TOKENS = 4;
/** Length of a slice of a decode. */
const SLICE_SECONDS = 1.5;

/** A model that is ready to be loaded. */
interface Subject {
  program: Program;
  checkpoint: Checkpoint;
  backend: WasmBackend;
  contextLength: number;
  /** The bytes that loading reads. */
  extents: Extent[];
}

/** @throws ModelComposeError for a flag, a model or a machine that does not fit, and for results that are wrong */
export async function runBenchmark(flags: BenchFlags, progress: Progress): Promise<BenchResult> {
  const subject = await openSubject(flags, progress);
  const { program, backend, contextLength } = subject;
  const isFileCacheWarm = await warmFileCache(subject, progress);
  const { executable, loadSeconds, fileReadSeconds, peakRss } = await measureLoading(
    subject,
    flags,
    progress,
  );
  try {
    await warmUp(executable, program, progress);
    const prefilled = await measurePrefill(executable, program, flags, progress);
    const decoded = await measureDecode(executable, program, flags, progress);
    const flops = prefillFlops(program, flags.promptTokens);
    const { kvCacheBytes, weightBytes, weightBytesPerToken, workBytes } = executable.memory;
    return {
      model: flags.model,
      family: program.family,
      device: executable.device.description,
      kernelBuild: backend.kernelBuild,
      threads: backend.threads,
      promptTokens: flags.promptTokens,
      decodePromptTokens: flags.decodePromptTokens,
      newTokens: flags.newTokens,
      contextLength,
      repeat: flags.repeat,
      cpuModel: cpus().at(0)?.model.trim() ?? "unknown",
      cores: availableCores(),
      platform: `${process.platform} ${process.arch}`,
      nodeVersion: process.versions.node,
      version: packageJson.version,
      loadSeconds,
      fileReadSeconds,
      isFileCacheWarm,
      prefillTokensPerSecond: prefilled.rate,
      prefillFlops: flops,
      fmaPeakFlops: prefilled.peak,
      prefillPeakFraction: scale(prefilled.rate, flops / flags.promptTokens / prefilled.peak.median),
      decodeTokensPerSecond: decoded.rate,
      weightBytesPerToken,
      readBandwidth: decoded.bandwidth.rate,
      readShape: decoded.bandwidth.shape,
      decodeBandwidthFraction: decoded.bandwidthFraction,
      nonKernelFraction: decoded.nonKernel,
      contended: decoded.contended,
      weightBytes,
      kvCacheBytes,
      workBytes,
      peakRssBytes: peakRss.stop(),
    };
  } finally {
    peakRss.stop();
    await executable.dispose();
  }
}

async function openSubject(flags: BenchFlags, progress: Progress): Promise<Subject> {
  if (flags.kernelBuild === "relaxed" && bestKernelBuild() !== "relaxed") {
    throw new ModelComposeError(
      "unsupported",
      `Node ${process.versions.node} here does not run relaxed SIMD.`,
      {
        remedy: "Use --kernel-build baseline.",
      },
    );
  }
  const directory = await resolveModelDirectory(flags.model);
  const [config, checkpoint] = await Promise.all([readModelConfig(directory), openCheckpoint(directory)]);
  const program = buildProgram(config);
  const contextLength = contextLengthFor(flags, program.maxPositions);
  const backend = new WasmBackend({ threads: flags.threads, kernelBuild: flags.kernelBuild });
  const plan = backend.plan(program, checkpoint, contextLength, 1);
  const memoryNotice = checkMemory(planBytes(plan), contextLength);
  if (memoryNotice !== undefined) progress.notice(memoryNotice);
  const placed = [...Object.values(plan.matrices), ...Object.values(plan.vectors)];
  const extents = weightExtents(placed.map(({ tensor }) => tensor));
  return { program, checkpoint, backend, contextLength, extents };
}

/**
 * Reads the files as the measurement does until that gets no faster: what follows measures neither the disk nor, on a
 * virtual machine, the host's first allocation of memory. False where files and copy do not fit into memory.
 */
async function warmFileCache({ extents, backend }: Subject, progress: Progress): Promise<boolean> {
  if (2 * totalBytes(extents) > availableMemory()) {
    progress.notice("The weights fit into memory once, not twice: their files are read from the disk.");
    return false;
  }
  let last = Infinity;
  for (let turn = 1; turn <= MOST_WARM_UP_READS; turn++) {
    progress.phase("Reading the files into the system's cache");
    const seconds = await readFiles(extents, backend.threads);
    if (seconds > last * 0.8) break;
    last = seconds;
  }
  return true;
}

interface Loaded {
  /** Of the last load. */
  executable: WasmExecutable;
  loadSeconds: Summary;
  fileReadSeconds: Summary;
  /** Samples since the beginning of the last load. */
  peakRss: PeakRss;
}

async function measureLoading(subject: Subject, flags: BenchFlags, progress: Progress): Promise<Loaded> {
  const { backend, program, checkpoint, contextLength, extents } = subject;
  const fileReadSeconds: number[] = [];
  const loadSeconds: number[] = [];
  for (let turn = 1; ; turn++) {
    progress.phase(`Reading the files (${turn} of ${flags.repeat})`);
    fileReadSeconds.push(await readFiles(extents, backend.threads));

    progress.phase(`Loading (${turn} of ${flags.repeat})`);
    const peakRss = new PeakRss();
    const start = performance.now();
    const onWeights = (done: number, total: number): void => {
      progress.step(`Loading (${turn} of ${flags.repeat}): ${Math.floor((100 * done) / total)} %`);
    };
    const executable = await backend.load(program, checkpoint, { contextLength, slots: 1, onWeights });
    loadSeconds.push((performance.now() - start) / 1000);
    if (turn === flags.repeat) {
      return {
        executable,
        loadSeconds: summarize(loadSeconds),
        fileReadSeconds: summarize(fileReadSeconds),
        peakRss,
      };
    }
    peakRss.stop();
    await executable.dispose();
  }
}

/** The first calls of the workers' JavaScript run unoptimised; a small model is measured in less than they take. */
async function warmUp(executable: WasmExecutable, program: Program, progress: Progress): Promise<void> {
  progress.phase("Warming up");
  const length = Math.min(WARM_UP_PROMPT_TOKENS, executable.maxRows);
  const prompt = randomTokens(length, program.vocabSize, PREFILL_SEED);
  await repeatFor(WARM_UP_MILLISECONDS, () => prefill(executable, prompt, { wantsLogits: true }));
  await repeatFor(WARM_UP_MILLISECONDS, () =>
    decode(executable, prompt, WARM_UP_NEW_TOKENS, { profile: false }),
  );
}

async function measurePrefill(
  executable: WasmExecutable,
  program: Program,
  { promptTokens, repeat }: BenchFlags,
  progress: Progress,
): Promise<{ rate: Summary; peak: Summary }> {
  const prompt = randomTokens(promptTokens, program.vocabSize, PREFILL_SEED);
  const peak = new FmaPeak();
  const rates: number[] = [];
  let expected: number | undefined;
  await peak.sample(executable);
  for (let turn = 1; turn <= repeat; turn++) {
    const onProgress = (done: number): void => {
      progress.step(`Prefill (${turn} of ${repeat}): ${done} of ${promptTokens} tokens`);
    };
    progress.phase(`Prefill (${turn} of ${repeat})`);
    const { seconds, logits } = await prefill(executable, prompt, { wantsLogits: true, onProgress });
    rates.push(promptTokens / seconds);
    await peak.sample(executable);
    const token = likeliest(logits);
    expected ??= token;
    if (token !== expected) throw unequal("prefill", [expected], [token]);
  }
  return { rate: summarize(rates), peak: peak.rate() };
}

interface Decoded {
  rate: Summary;
  bandwidth: ReturnType<ReadBandwidth["fastest"]>;
  /** Of the slices of all decodes, each against the reads around it. */
  bandwidthFraction: Summary;
  nonKernel: Summary;
  contended: BenchResult["contended"];
}

/**
 * The prompt is computed once; every decode begins at its last token and so overwrites what the one before left. A
 * decode goes in slices of a second or two, with pure reads between them.
 */
async function measureDecode(
  executable: WasmExecutable,
  program: Program,
  { decodePromptTokens, newTokens, repeat, contended }: BenchFlags,
  progress: Progress,
): Promise<Decoded> {
  const prompt = randomTokens(decodePromptTokens, program.vocabSize, DECODE_SEED);
  progress.phase("Prefill of the decode's prompt");
  await prefill(executable, prompt.slice(0, -1), { wantsLogits: false });

  let expected: number[] | undefined;
  const run = async (
    what: string,
    turn: number,
    options: { profile: boolean; sliceTokens: number; afterSlice?: () => Promise<void> },
  ): Promise<DecodeSlice[]> => {
    const { profile, sliceTokens, afterSlice } = options;
    progress.phase(`${what} (${turn} of ${repeat})`);
    const slices: DecodeSlice[] = [];
    const tokens: number[] = [];
    while (tokens.length < newTokens) {
      const done = tokens.length;
      const onProgress = (count: number): void => {
        progress.step(`${what} (${turn} of ${repeat}): ${done + count} of ${newTokens} tokens`);
      };
      const rest = newTokens - done;
      // A slice of one token has no step to time: the last takes what would be left over.
      const count = rest < sliceTokens + 2 ? rest : sliceTokens;
      const slice = await decode(executable, Int32Array.of(...prompt, ...tokens), count, {
        profile,
        onProgress,
      });
      slices.push(slice);
      tokens.push(...slice.tokens);
      await afterSlice?.();
    }
    expected ??= tokens;
    if (tokens.join() !== expected.join()) throw unequal("decode", expected, tokens);
    return slices;
  };

  const whole = { profile: false, sliceTokens: newTokens };
  const sliceTokens = Math.max(
    4,
    Math.ceil(decodeRate(await run("A first decode", 1, whole)) * SLICE_SECONDS),
  );
  const bandwidth = new ReadBandwidth();
  const runs: DecodeSlice[][] = [];
  await bandwidth.sample(executable);
  for (let turn = 1; turn <= repeat; turn++) {
    const afterSlice = (): Promise<void> => bandwidth.sample(executable);
    runs.push(await run("Decode", turn, { profile: false, sliceTokens, afterSlice }));
  }
  const { weightBytesPerToken } = executable.memory;
  const fractions = runs
    .flat()
    .map((slice, i) => (decodeRate([slice]) * weightBytesPerToken) / bandwidth.around(i));
  const nonKernel: number[] = [];
  for (let turn = 1; turn <= repeat; turn++) {
    const [slice] = await run("Decode with a kernel clock", turn, { profile: true, sliceTokens: newTokens });
    nonKernel.push(nonKernelFraction(slice));
  }
  const contendedRates: number[] = [];
  const processes = availableCores();
  if (contended) {
    await besideBusyProcesses(processes, async () => {
      for (let turn = 1; turn <= repeat; turn++) {
        contendedRates.push(decodeRate(await run("Decode beside busy processes", turn, whole)));
      }
    });
  }
  return {
    rate: summarize(runs.map(decodeRate)),
    bandwidth: bandwidth.fastest(),
    bandwidthFraction: summarize(fractions),
    nonKernel: summarize(nonKernel),
    contended: contended ? { processes, decodeTokensPerSecond: summarize(contendedRates) } : undefined,
  };
}

/** The same work must give the same tokens: a kernel that is fast because it is wrong is no result. */
function unequal(what: string, expected: readonly number[], found: readonly number[]): ModelComposeError {
  const at = expected.findIndex((token, i) => token !== found[i]);
  return new ModelComposeError(
    "device",
    `A repeated ${what} chose token ${found[at]} at ${at}; the first chose ${expected[at]}.`,
    { remedy: "The timings of such a run mean nothing: find the race before measuring." },
  );
}
