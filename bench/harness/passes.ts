/**
 * Measures prefill and decode of a loaded model. What is compared is measured side by side: the multiply-add peak
 * around each prefill, pure reads between slices of the decodes, so that a noisy neighbour hits both.
 */
import { ModelComposeError } from "../../src/base/errors.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { besideBusyProcesses } from "./contention.ts";
import type { LoadedModel } from "./bench-device.ts";
import type { BenchFlags } from "./flags.ts";
import {
  decode,
  decodeRate,
  type DecodeSlice,
  FmaPeak,
  likeliest,
  type MedianCost,
  medianCost,
  nonKernelFraction,
  prefill,
  ReadBandwidth,
  repeatFor,
} from "./measurements.ts";
import type { Progress } from "./progress.ts";
import { summarize, type Summary } from "./statistics.ts";

/** The workers are warm after this time, or after one pass of a model that takes longer. */
const WARM_UP_MILLISECONDS = 300;
/** Rows of a pass that warms up; enough for the blocked product. */
const WARM_UP_PROMPT_TOKENS = 32;
const WARM_UP_NEW_TOKENS = 4;
/** Seconds that a slice of a decode takes. */
const SLICE_SECONDS = 1.5;

/**
 * Warms up: the first calls of JavaScript run unoptimised, and a small model is measured in less time than they take.
 */
export async function warmUp(model: LoadedModel, tokens: Int32Array, progress: Progress): Promise<void> {
  progress.phase("Warming up");
  const { executable } = model;
  const prompt = tokens.slice(0, Math.min(WARM_UP_PROMPT_TOKENS, executable.maxRows));
  await repeatFor(WARM_UP_MILLISECONDS, () => prefill(executable, prompt, { wantsLogits: true }));
  await repeatFor(WARM_UP_MILLISECONDS, () => decode(model, prompt, WARM_UP_NEW_TOKENS, { profile: false }));
}

/** Tokens a second of the prefills, and what they gave. */
export interface Prefilled {
  rate: Summary;
  /** Operations a second of the CPU's multiply-add peak; undefined on a GPU. */
  fmaPeak: Summary | undefined;
  /** Logits of the last token, f32 [vocabSize]. */
  logits: Float32Array;
}

export async function measurePrefill(
  model: LoadedModel,
  prompt: Int32Array,
  repeat: number,
  progress: Progress,
): Promise<Prefilled> {
  const { executable, cpu } = model;
  const peak = new FmaPeak();
  const rates: number[] = [];
  let expected: number | undefined;
  let lastLogits = new Float32Array(0);
  if (cpu !== undefined) {
    await peak.sample(cpu);
  }
  for (let turn = 1; turn <= repeat; turn++) {
    const onProgress = (done: number): void => {
      progress.step(`Prefill (${turn} of ${repeat}): ${done} of ${prompt.length} tokens`);
    };
    progress.phase(`Prefill (${turn} of ${repeat})`);
    const { seconds, logits } = await prefill(executable, prompt, { wantsLogits: true, onProgress });
    rates.push(prompt.length / seconds);
    if (cpu !== undefined) {
      await peak.sample(cpu);
    }
    const token = likeliest(logits);
    expected ??= token;
    if (token !== expected) {
      throw unequal("prefill", [expected], [token]);
    }
    lastLogits = new Float32Array(logits);
  }
  return { rate: summarize(rates), fmaPeak: cpu && peak.rate(), logits: lastLogits };
}

/** Tokens a second of the decodes, and what they gave. */
export interface Decoded {
  rate: Summary;
  bandwidth: ReturnType<ReadBandwidth["fastest"]>;
  /** Fractions of the read bandwidth: those of the slices of all decodes, each against the reads around it. */
  bandwidthFraction: Summary;
  nonKernel: Summary | undefined;
  /** Median costs of a step of each decode, on a GPU; else empty. */
  costs: readonly MedianCost[];
  tokens: readonly number[];
  contended: { processes: number; decodeTokensPerSecond: Summary } | undefined;
}

/**
 * Measures decodes. The prompt is computed once; every decode begins at its last token and so overwrites what the one
 * before left. A decode goes in slices of a second or two, with pure reads between them.
 */
export async function measureDecode(
  model: LoadedModel,
  prompt: Int32Array,
  {
    newTokens,
    repeat,
    contended,
    fillsCache,
  }: Pick<BenchFlags, "newTokens" | "repeat" | "contended" | "fillsCache">,
  progress: Progress,
): Promise<Decoded> {
  progress.phase("Prefill of the decode's prompt");
  await (fillsCache && model.cpu !== undefined
    ? model.cpu.fillCache()
    : prefill(model.executable, prompt.slice(0, -1), { wantsLogits: false }));

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
      const slice = await decode(model, Int32Array.of(...prompt, ...tokens), count, {
        profile,
        onProgress,
      });
      slices.push(slice);
      tokens.push(...slice.tokens);
      await afterSlice?.();
    }
    expected ??= tokens;
    if (tokens.join() !== expected.join()) {
      throw unequal("decode", expected, tokens);
    }
    return slices;
  };

  const whole = { profile: false, sliceTokens: newTokens };
  const sliceTokens = Math.max(
    4,
    Math.ceil(decodeRate(await run("A first decode", 1, whole)) * SLICE_SECONDS),
  );
  const bandwidth = new ReadBandwidth();
  const runs: DecodeSlice[][] = [];
  await bandwidth.sample(model);
  for (let turn = 1; turn <= repeat; turn++) {
    const afterSlice = (): Promise<void> => bandwidth.sample(model);
    runs.push(await run("Decode", turn, { profile: false, sliceTokens, afterSlice }));
  }
  const { weightBytesPerToken } = model.executable.memory;
  const fractions = runs
    .flat()
    .map((slice, i) => (decodeRate([slice]) * weightBytesPerToken) / bandwidth.around(i));
  const nonKernel: number[] = [];
  for (let turn = 1; turn <= repeat; turn++) {
    const [slice] = await run("Decode with a kernel clock", turn, { profile: true, sliceTokens: newTokens });
    // 0 where a GPU has no clock to measure with.
    if (slice.kernelSeconds > 0) {
      nonKernel.push(nonKernelFraction(slice));
    }
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
    nonKernel: nonKernel.length === 0 ? undefined : summarize(nonKernel),
    costs:
      model.gpu === undefined ? [] : runs.map((slices) => medianCost(slices.flatMap(({ costs }) => costs))),
    tokens: expected ?? [],
    contended: contended ? { processes, decodeTokensPerSecond: summarize(contendedRates) } : undefined,
  };
}

/**
 * The error for unequal tokens. The same work must give the same: a kernel that is fast because it is wrong is no
 * result.
 */
function unequal(what: string, expected: readonly number[], found: readonly number[]): ModelComposeError {
  const at = expected.findIndex((token, i) => token !== found[i]);
  return new ModelComposeError(
    "device",
    `A repeated ${what} chose token ${found[at]} at ${at}; the first chose ${expected[at]}.`,
    { remedy: "The timings of such a run mean nothing: find the race before measuring." },
  );
}
