/** Compares what the GPU computed with what the CPU computes from the same checkpoint. */
import type { Executable } from "../../src/runtime/backend.ts";
import type { PrefillMode } from "../../src/runtime/device-types.ts";
import { wasmDevice } from "./devices.ts";
import type { BenchFlags } from "./flags.ts";
import { likeliest, prefill } from "./measurements.ts";
import type { Progress } from "./progress.ts";
import type { Subject } from "./subject.ts";

/** How what the GPU computed compares with the CPU. */
export interface CheckResult {
  passed: boolean;
  /** Description of the CPU device, for people. */
  device: string;
  /**
   * Tokens that the GPU chose in the decode; `equalTokens` of them the CPU chooses after the same tokens (teacher
   * forcing: one difference does not make all that follow it differ).
   */
  tokens: number;
  equalTokens: number;
  /** How much higher the CPU's logit of its own choice is at most, where the choices differ. */
  largestMargin: number;
  /** Normalised mean squared error of the logits of the prompt's last token: |GPU - CPU|² / |CPU|². */
  prefillNmse: number;
  samePrefillToken: boolean;
}

/**
 * The largest differences that pass. Exact means the arithmetic of the CPU in another order: what f32 rounding leaves
 * after many layers, with room. Factors that are rounded to f16 (2^-11) leave about 10^-6 to 10^-5; a random checkpoint
 * has nearly equal logits, hence tokens that differ.
 */
const BOUNDS: Readonly<Record<PrefillMode, { nmse: number; equalShare: number }>> = {
  exact: { nmse: 1e-8, equalShare: 1 },
  // As exact, with 22 of f32's 24 bits.
  split: { nmse: 1e-8, equalShare: 1 },
  f16: { nmse: 1e-4, equalShare: 0.95 },
  "subgroup-matrix": { nmse: 1e-4, equalShare: 0.95 },
};

/** Rows of a pass whose logits are all wanted: 16 MB of them where the vocabulary is large. */
const LOGIT_ROWS = 32;

/** What the GPU was given and what it computed. */
export interface GpuOutput {
  prompt: Int32Array;
  /** Logits of the prompt's last token, f32 [vocabSize]. */
  logits: Float32Array;
  decodePrompt: Int32Array;
  /** The greedy tokens after `decodePrompt`. */
  tokens: readonly number[];
}

export async function checkAgainstCpu(
  subject: Subject,
  { threads, quantization, prefill: mode }: Pick<BenchFlags, "threads" | "quantization" | "prefill">,
  output: GpuOutput,
  progress: Progress,
): Promise<CheckResult> {
  progress.phase("Loading on the CPU, to check");
  // A GPU multiplies widened weights with activations as they are.
  const settings = {
    threads,
    quantization,
    activations: "float32",
    kernelBuild: undefined,
    integerDot: undefined,
  } as const;
  const device = await wasmDevice(subject, settings, progress);
  const { executable } = await device.load((done, total) => {
    progress.step(`Loading on the CPU, to check: ${Math.floor((100 * done) / total)} %`);
  });
  try {
    progress.phase("Checking the prefill");
    const { logits } = await prefill(executable, output.prompt, { wantsLogits: true });
    const prefillNmse = nmse(output.logits, logits);
    const samePrefillToken = likeliest(output.logits) === likeliest(logits);
    const forced = await compareTokens(executable, output, progress);
    const { nmse: most, equalShare } = BOUNDS[mode];
    const passed =
      prefillNmse <= most &&
      (samePrefillToken || mode !== "exact") &&
      forced.equalTokens >= equalShare * output.tokens.length;
    const { description } = executable.device;
    return {
      passed,
      device: description,
      tokens: output.tokens.length,
      ...forced,
      prefillNmse,
      samePrefillToken,
    };
  } finally {
    await executable.dispose();
  }
}

async function compareTokens(
  executable: Executable,
  { decodePrompt, tokens }: Pick<GpuOutput, "decodePrompt" | "tokens">,
  progress: Progress,
): Promise<Pick<CheckResult, "equalTokens" | "largestMargin">> {
  const before = decodePrompt.length - 1;
  await prefill(executable, decodePrompt.slice(0, before), { wantsLogits: false });
  const inputs = Int32Array.of(decodePrompt[before], ...tokens.slice(0, -1));
  let [equalTokens, largestMargin] = [0, 0];
  for (let first = 0; first < inputs.length; first += LOGIT_ROWS) {
    progress.step(`Checking the decode: ${first} of ${tokens.length} tokens`);
    const rows = inputs.slice(first, first + LOGIT_ROWS);
    const { logits } = await executable.run({
      tokens: rows,
      slots: new Int32Array(rows.length),
      positions: rows.map((_, r) => before + first + r),
      logitRows: rows.map((_, r) => r),
    });
    const vocabSize = logits.length / rows.length;
    for (let r = 0; r < rows.length; r++) {
      const row = logits.subarray(r * vocabSize, (r + 1) * vocabSize);
      const [cpu, gpu] = [likeliest(row), tokens[first + r]];
      if (cpu === gpu) {
        equalTokens++;
      } else {
        largestMargin = Math.max(largestMargin, row[cpu] - row[gpu]);
      }
    }
  }
  return { equalTokens, largestMargin };
}

/** Normalised mean squared error: |actual - expected|² / |expected|². */
export function nmse(actual: Float32Array, expected: Float32Array): number {
  let [difference, energy] = [0, 0];
  expected.forEach((value, i) => {
    difference += (actual[i] - value) ** 2;
    energy += value ** 2;
  });
  return difference / energy;
}
