/** The devices that can be measured. */
import { bestKernelBuild } from "../../src/kernels/wasm-module.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import { gpuNotices } from "../../src/runtime/gpu-notices.ts";
import { checkMemory } from "../../src/runtime/memory-check.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { WasmBackend, type WasmExecutable } from "../../src/runtime/wasm/backend.ts";
import { planBytes } from "../../src/runtime/wasm/plan.ts";
import { WebGpuBackend } from "../../src/runtime/webgpu/backend.ts";
import { ReadProbe } from "../../src/runtime/webgpu/run/measure.ts";
import { requireTimestamps } from "../../src/runtime/webgpu/run/timestamps.ts";
import type { BenchDevice } from "./bench-device.ts";
import type { BenchFlags } from "./flags.ts";
import { combinedRate, repeatFor } from "./measurements.ts";
import type { Progress } from "./progress.ts";
import { summarize } from "./statistics.ts";
import type { Subject } from "./subject.ts";

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
  const backend = await WebGpuBackend.open({ name, prefill });
  try {
    const { summary } = backend.context;
    if (profile) {
      requireTimestamps(backend.context);
    }
    const need = backend.plan(program, checkpoint, contextLength, 1);
    const { device } = backend;
    const { isSoftware } = summary;
    for (const notice of gpuNotices({ device, isSoftware, need, contextLength, prefill })) {
      progress.notice(notice);
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
      let probe: Promise<ReadProbe> | undefined;
      return {
        executable,
        decode: (request, options) => executable.decode({ ...request, ...options }),
        sampleReads: async () => (await (probe ??= ReadProbe.create(executable))).sample(),
        gpu: { executable, summary: opened.context.summary },
      };
    },
  };
}
