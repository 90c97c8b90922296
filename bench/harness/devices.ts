/** The devices as the benchmark sees them: loading, and the measurements that the contract has no words for. */
import { bestKernelBuild } from "../../src/kernels/wasm-module.ts";
import type { DecodeProfile, DecodeRequest, Executable } from "../../src/runtime/backend.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import { formatBytes } from "../../src/base/bytes.ts";
import { checkMemory } from "../../src/runtime/memory-check.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { WasmBackend } from "../../src/runtime/wasm/backend.ts";
import type { WasmExecutable } from "../../src/runtime/wasm/executable.ts";
import type { AdapterSummary } from "../../src/runtime/webgpu/run/adapter.ts";
import { WebGpuBackend } from "../../src/runtime/webgpu/backend.ts";
import type { StepCost } from "../../src/runtime/webgpu/run/decode.ts";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { ReadProbe } from "../../src/runtime/webgpu/run/measure.ts";
import { requireTimestamps } from "../../src/runtime/webgpu/run/timestamps.ts";
import type { BenchFlags } from "./flags.ts";
import { combinedRate, repeatFor } from "./measurements.ts";
import type { Progress } from "./progress.ts";
import { summarize } from "./statistics.ts";
import type { Subject } from "./subject.ts";

export interface BenchDevice {
  /** Threads that read files at once, where the files alone are read. */
  readonly readers: number;
  /** Loads the model once more. */
  load(onWeights: (done: number, total: number) => void): Promise<LoadedModel>;
}

/** A loaded model that can be measured. */
export interface LoadedModel {
  readonly executable: Executable;
  /** @param profile measure how long kernels run; costs some speed */
  decode(request: DecodeRequest, options: { profile: boolean; onStep?: OnStep }): Promise<DecodeProfile>;
  /** Pure reads over the weights: bytes a second by the shape of the loop. */
  sampleReads(): Promise<Map<string, number>>;
  readonly cpu?: CpuFigures;
  readonly gpu?: { readonly executable: WebGpuExecutable; readonly summary: AdapterSummary };
}

export interface CpuFigures {
  readonly threads: number;
  readonly kernelBuild: string;
  /** Multiply-adds in registers on all threads: operations a second. */
  sampleFma(): Promise<number[]>;
}

/** Called with the calling thread's cost of a step, on a GPU. */
export type OnStep = (cost: StepCost) => void;

/** @throws ModelComposeError "unsupported" for kernels that this Node lacks, "out-of-memory" */
export async function wasmDevice(
  { program, checkpoint, contextLength }: Subject,
  { threads, kernelBuild }: Pick<BenchFlags, "threads" | "kernelBuild">,
  progress: Progress,
): Promise<BenchDevice> {
  if (kernelBuild === "relaxed" && bestKernelBuild() !== "relaxed") {
    throw new ModelComposeError(
      "unsupported",
      `Node ${process.versions.node} here does not run relaxed SIMD.`,
      { remedy: "Use --kernel-build baseline." },
    );
  }
  const backend = new WasmBackend({ threads, kernelBuild });
  const options = { contextLength, slots: 1 };
  const { memory } = await backend.prepare(program, checkpoint, options);
  const memoryNotice = checkMemory(memory, contextLength);
  if (memoryNotice !== undefined) {
    progress.notice(memoryNotice);
  }
  return {
    readers: backend.threads,
    load: async (onWeights) => {
      const executable = await (await backend.prepare(program, checkpoint, options)).load({ onWeights });
      return {
        executable,
        decode: (request, { profile }) => executable.decode({ ...request, profile }),
        sampleReads: () => sampleWasmReads(executable),
        cpu: {
          threads: backend.threads,
          kernelBuild: backend.kernelBuild,
          sampleFma: () => sampleRates(executable, "fma"),
        },
      };
    },
  };
}

const READ_SHAPES = ["read", "read4", "read-wide"] as const;

/** Small models are read, and multiply-adds counted, in under a millisecond: go on for this long. */
const SAMPLING_MILLISECONDS = 100;

/** By the workers that own the weights. */
async function sampleWasmReads(executable: WasmExecutable): Promise<Map<string, number>> {
  const rates = new Map<string, number>();
  for (const shape of READ_SHAPES) {
    rates.set(shape, summarize(await sampleRates(executable, shape)).median);
  }
  return rates;
}

/** One sample, or as many as fit. */
async function sampleRates(
  executable: WasmExecutable,
  what: (typeof READ_SHAPES)[number] | "fma",
): Promise<number[]> {
  const rates: number[] = [];
  await repeatFor(SAMPLING_MILLISECONDS, async () => {
    rates.push(combinedRate(await executable.measure(what)));
  });
  return rates;
}

/**
 * Opens the adapter once to see whether everything that is asked for can be measured on it.
 *
 * @throws ModelComposeError "device", "invalid-argument" for a GPU that is not there, "unsupported" for what it lacks
 */
export async function gpuDevice(
  { program, checkpoint, contextLength }: Subject,
  { name, prefill, profile }: { name: string | undefined } & Pick<BenchFlags, "prefill" | "profile">,
  progress: Progress,
): Promise<BenchDevice> {
  const backend = new WebGpuBackend({ name, prefill });
  const options = { contextLength, slots: 1 };
  const seen = await backend.prepare(program, checkpoint, options);
  try {
    const { summary } = seen.context;
    if (profile) {
      requireTimestamps(seen.context);
    }
    const need = seen.memory;
    progress.notice(
      `Device: ${seen.device.description}; GPU memory: ${formatBytes(need.weightBytes)} of weights, ` +
        `${formatBytes(need.kvCacheBytes)} of KV cache, ${formatBytes(need.workBytes)} of work.`,
    );
    if (summary.isSoftware) {
      progress.notice(`WARNING: ${summary.name} is no GPU but a program on the CPU: its speed says nothing.`);
    }
    if (prefill !== "exact") {
      progress.notice(`Prompts are read with "${prefill}" arithmetic, which is not exact.`);
    }
  } finally {
    await seen.dispose();
  }
  return {
    readers: availableCores(),
    load: async (onWeights) => {
      // Opening the GPU is a part of loading.
      const preparation = await backend.prepare(program, checkpoint, options);
      const executable = await preparation.load({ onWeights });
      let probe: Promise<ReadProbe> | undefined;
      return {
        executable,
        decode: (request, options) => executable.decode({ ...request, ...options }),
        sampleReads: async () => (await (probe ??= ReadProbe.create(executable))).sample(),
        gpu: { executable, summary: preparation.context.summary },
      };
    },
  };
}
