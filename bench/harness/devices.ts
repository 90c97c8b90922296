/** The devices as the benchmark sees them: loading, and the measurements that the contract has no words for. */
import { bestKernelBuild } from "../../src/kernels/wasm-module.ts";
import type { DecodeProfile, DecodeRequest, Executable } from "../../src/runtime/backend.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import { formatBytes } from "../../src/base/bytes.ts";
import { measureRead, workerRates } from "../../src/runtime/measure.ts";
import { checkMemory } from "../../src/runtime/memory-check.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { WasmBackend } from "../../src/runtime/wasm/backend.ts";
import { planBytes } from "../../src/runtime/wasm/plan.ts";
import type { AdapterSummary } from "../../src/runtime/webgpu/run/adapter.ts";
import { WebGpuBackend } from "../../src/runtime/webgpu/backend.ts";
import type { StepCost } from "../../src/runtime/webgpu/run/decode.ts";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { requireTimestamps } from "../../src/runtime/webgpu/run/timestamps.ts";
import type { BenchFlags } from "./flags.ts";
import type { Progress } from "./progress.ts";
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
  sampleReads(): Promise<ReadonlyMap<string, number>>;
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
export function wasmDevice(
  { program, checkpoint, contextLength }: Subject,
  { threads, kernelBuild }: Pick<BenchFlags, "threads" | "kernelBuild">,
  progress: Progress,
): BenchDevice {
  if (kernelBuild === "relaxed" && bestKernelBuild() !== "relaxed") {
    throw new ModelComposeError(
      "unsupported",
      `Node ${process.versions.node} here does not run relaxed SIMD.`,
      { remedy: "Use --kernel-build baseline." },
    );
  }
  const backend = new WasmBackend({ threads, kernelBuild });
  const plan = backend.plan(program, checkpoint, contextLength, 1);
  const memoryNotice = checkMemory(planBytes(plan), contextLength);
  if (memoryNotice !== undefined) {
    progress.notice(memoryNotice);
  }
  return {
    readers: backend.threads,
    load: async (onWeights) => {
      const executable = await backend.load(program, checkpoint, { contextLength, slots: 1, onWeights });
      return {
        executable,
        decode: (request, { profile }) => executable.decode({ ...request, profile }),
        sampleReads: () => measureRead(executable),
        cpu: {
          threads: backend.threads,
          kernelBuild: backend.kernelBuild,
          sampleFma: () => workerRates(executable, "fma"),
        },
      };
    },
  };
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
  const backend = await WebGpuBackend.open({ name, prefill });
  try {
    const { summary } = backend.context;
    if (profile) {
      requireTimestamps(backend.context);
    }
    const need = backend.plan(program, checkpoint, contextLength, 1);
    progress.notice(
      `Device: ${backend.device.description}; GPU memory: ${formatBytes(need.weightBytes)} of weights, ` +
        `${formatBytes(need.kvCacheBytes)} of KV cache, ${formatBytes(need.workBytes)} of work.`,
    );
    if (summary.isSoftware) {
      progress.notice(`WARNING: ${summary.name} is no GPU but a program on the CPU: its speed says nothing.`);
    }
    if (prefill !== "exact") {
      progress.notice(`Prompts are read with "${prefill}" arithmetic, which is not exact.`);
    }
  } finally {
    await backend.dispose();
  }
  return {
    readers: availableCores(),
    load: async (onWeights) => {
      // Opening the GPU is a part of loading: a backend loads one program.
      const opened = await WebGpuBackend.open({ name, prefill });
      const executable = await opened.load(program, checkpoint, { contextLength, slots: 1, onWeights });
      return {
        executable,
        decode: (request, options) => executable.decode({ ...request, ...options }),
        sampleReads: () => measureRead(executable),
        gpu: { executable, summary: opened.context.summary },
      };
    },
  };
}
