/** The devices that can be measured. */
import { defaultKvPrecision } from "../../src/runtime/held-formats.ts";
import { gpuNotices } from "../../src/runtime/gpu-notices.ts";
import { measureRead, workerRates } from "../../src/runtime/measure.ts";
import { checkMemory } from "../../src/runtime/memory-check.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { WasmBackend } from "../../src/runtime/wasm/backend.ts";
import { WebGpuBackend } from "../../src/runtime/webgpu/backend.ts";
import { requireTimestamps } from "../../src/runtime/webgpu/run/timestamps.ts";
import type { BenchDevice } from "./bench-device.ts";
import type { BenchFlags } from "./flags.ts";
import type { Progress } from "./progress.ts";
import type { Subject } from "./subject.ts";

/**
 * The CPU as a device, after a check that the model fits into memory.
 *
 * @throws ModelComposeError "unsupported" for kernels that this Node lacks, "out-of-memory"
 */
export async function wasmDevice(
  { program, checkpoint, contextLength }: Subject,
  flags: Pick<BenchFlags, "threads" | "kernelBuild" | "integerDot" | "quantization" | "activations"> &
    Partial<Pick<BenchFlags, "kvPrecision" | "quantizedCache" | "model">>,
  progress: Progress,
): Promise<BenchDevice> {
  const { threads, kernelBuild, integerDot, quantization, activations } = flags;
  const { kvPrecision = defaultKvPrecision(quantization) } = flags;
  const backend = new WasmBackend({ threads, kernelBuild, integerDot });
  const quantizedCache = flags.quantizedCache === true ? flags.model : undefined;
  const options = { contextLength, slots: 1, quantization, activations, kvPrecision, quantizedCache };
  const isInteger = quantization !== "none" && activations === "int8";
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
        sampleReads: () => measureRead(executable),
        cpu: {
          threads: backend.threads,
          kernelBuild: isInteger ? `${backend.kernelBuild}+${backend.integerDot}` : backend.kernelBuild,
          sampleFma: () => workerRates(executable, "fma"),
          fillCache: async () => void (await executable.measure("fill-cache")),
        },
      };
    },
  };
}

/**
 * A GPU as a device. Opens the adapter once to see whether everything that is asked for can be measured on it.
 *
 * @throws ModelComposeError "device", "invalid-argument" for a GPU that is not there, "unsupported" for what it lacks
 */
export async function gpuDevice(
  { program, checkpoint, contextLength }: Subject,
  flags: { name: string | undefined } & Pick<BenchFlags, "prefill" | "profile" | "quantization">,
  progress: Progress,
): Promise<BenchDevice> {
  const { name, prefill, profile, quantization } = flags;
  const backend = new WebGpuBackend({ name, prefill });
  const options = { contextLength, slots: 1, quantization };
  const seen = await backend.prepare(program, checkpoint, options);
  try {
    const { summary } = seen.context;
    if (profile) {
      requireTimestamps(seen.context);
    }
    const { device, memory: need } = seen;
    const { isSoftware } = summary;
    for (const notice of gpuNotices({ device, isSoftware, need, contextLength, prefill })) {
      progress.notice(notice);
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
      return {
        executable,
        decode: (request, options) => executable.decode({ ...request, ...options }),
        sampleReads: () => measureRead(executable),
        gpu: { executable, summary: preparation.context.summary },
      };
    },
  };
}
