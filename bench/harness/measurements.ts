/** The measurements on a loaded model, each of them once; repetition and order are the caller's. */
import { ModelComposeError } from "../../src/base/errors.ts";
import type { DecodeProfile, Executable } from "../../src/runtime/backend.ts";
import { passOf, chunksOf, PrefillReport } from "../../src/runtime/generation/prefill.ts";
import type { StepCost } from "../../src/runtime/webgpu/run/decode-request.ts";
import type { CpuFigures, LoadedModel } from "./bench-device.ts";
import { median, summarize, type Summary } from "./statistics.ts";
import { greedyDecode } from "./workload.ts";

/** Repeats an action until the time is over; at least once. */
export async function repeatFor(milliseconds: number, action: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + milliseconds;
  do {
    await action();
  } while (performance.now() < end);
}

/**
 * Samples of pure reads over the resident weights: one before the first piece of work and one after each, so that every
 * piece has a neighbour on either side. (Machines change their bandwidth within seconds.)
 */
export class ReadBandwidth {
  readonly #samples = new Map<string, number[]>();

  async sample(model: LoadedModel): Promise<void> {
    for (const [shape, rate] of await model.sampleReads()) {
      this.#samples.set(shape, [...(this.#samples.get(shape) ?? []), rate]);
    }
  }

  /** The loop shape with the highest median, and its rate in bytes a second. */
  fastest(): { shape: string; rate: Summary } {
    const [first, ...rest] = [...this.#samples].map(([shape, samples]) => ({
      shape,
      rate: summarize(samples),
    }));
    return rest.reduce((best, other) => (other.rate.median > best.rate.median ? other : best), first);
  }

  /** Bytes a second of the fastest shape around piece of work `index`: the mean of the samples before and after. */
  around(index: number): number {
    const samples = this.#samples.get(this.fastest().shape) ?? [];
    return (samples[index] + samples[index + 1]) / 2;
  }
}

/** Samples of multiply-adds in registers on all threads, in operations a second. */
export class FmaPeak {
  readonly #samples: number[] = [];

  async sample(cpu: CpuFigures): Promise<void> {
    this.#samples.push(...(await cpu.sampleFma()));
  }

  rate(): Summary {
    return summarize(this.#samples);
  }
}

export interface PrefillOptions {
  /** Whether logits of the last token are wanted, as before a decode by sampling. */
  wantsLogits: boolean;
  onProgress?: (done: number) => void;
}

/** Reads a prompt from position 0 by the generator's own passes. Returns seconds and the last logits. */
export async function prefill(
  executable: Executable,
  prompt: Int32Array,
  { wantsLogits, onProgress }: PrefillOptions,
): Promise<{ seconds: number; logits: Float32Array }> {
  const start = performance.now();
  const report = new PrefillReport(onProgress && (({ done }) => onProgress(done)), prompt.length);
  let logits: Float32Array = new Float32Array(0);
  for (const chunk of chunksOf(prompt, executable.maxRows)) {
    const { rows, position } = chunk;
    const isLast = position + rows.length === prompt.length;
    const logitRows = isLast && wantsLogits ? Int32Array.of(rows.length - 1) : undefined;
    const onProgress = report.within(position, rows.length);
    ({ logits } = await executable.run({ ...passOf(chunk, 0), logitRows, onProgress }));
    report.after(position + rows.length);
  }
  return { seconds: (performance.now() - start) / 1000, logits: new Float32Array(logits) };
}

/**
 * The likeliest token.
 *
 * @throws ModelComposeError "device" for logits that are no numbers
 */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  logits.forEach((logit, token) => {
    if (!Number.isFinite(logit)) {
      throw new ModelComposeError(
        "device",
        `The logit of token ${token} is ${logit}; expected a finite number.`,
        {
          remedy: "The timings of such a run mean nothing: check the checkpoint, then the kernels.",
        },
      );
    }
    if (logit > logits[best]) {
      best = token;
    }
  });
  return best;
}

/** One stretch of a decode: tokens chosen, and seconds for the `steps` tokens after its first. */
export interface DecodeSlice extends DecodeProfile {
  tokens: number[];
  steps: number;
  /** Costs of the steps after the first, on a GPU; else empty. */
  costs: readonly StepCost[];
}

/** Decodes greedily after a prompt whose tokens, all but the last, are in the cache. `profile` costs some speed. */
export async function decode(
  model: LoadedModel,
  prompt: Int32Array,
  count: number,
  { profile, onProgress }: { profile: boolean; onProgress?: (done: number) => void },
): Promise<DecodeSlice> {
  const tokens: number[] = [];
  const costs: StepCost[] = [];
  const request = greedyDecode(prompt, count, (token) => {
    tokens.push(token);
    onProgress?.(tokens.length);
  });
  const times = await model.decode(request, { profile, onStep: (cost) => void costs.push(cost) });
  return { ...times, tokens, steps: count - 1, costs };
}

/** Seconds from a prompt to its first token, nothing in the cache. */
export async function timeToFirstToken(model: LoadedModel, prompt: Int32Array): Promise<number> {
  const start = performance.now();
  let seconds = 0;
  const request = greedyDecode(prompt, 1, () => (seconds = (performance.now() - start) / 1000));
  await model.decode({ ...request, tokens: prompt, position: 0 }, { profile: false });
  return seconds;
}

/** Medians of what a step cost the calling thread. */
export interface MedianCost {
  dispatches: number;
  encodeMilliseconds: number;
  submitMilliseconds: number;
  /** Median of each step's sum of both. */
  bothMilliseconds: number;
}

export function medianCost(costs: readonly StepCost[]): MedianCost {
  const of = (seconds: (cost: StepCost) => number): number => median(costs.map(seconds)) * 1000;
  return {
    dispatches: median(costs.map(({ dispatches }) => dispatches)),
    encodeMilliseconds: of(({ encodeSeconds }) => encodeSeconds),
    submitMilliseconds: of(({ submitSeconds }) => submitSeconds),
    bothMilliseconds: of(({ encodeSeconds, submitSeconds }) => encodeSeconds + submitSeconds),
  };
}

/** Tokens a second over all slices together. */
export function decodeRate(slices: readonly DecodeSlice[]): number {
  const steps = slices.reduce((sum, slice) => sum + slice.steps, 0);
  return steps / slices.reduce((sum, slice) => sum + slice.wallSeconds, 0);
}

/** The part of the time in which even the worker that computed longest did not compute. */
export function nonKernelFraction({ wallSeconds, kernelSeconds }: DecodeProfile): number {
  return 1 - kernelSeconds / wallSeconds;
}
