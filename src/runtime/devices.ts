/** Loads a program on the device that was asked for, and says which one that is and why. */
import type { Backend, Executable, ExecutableOptions } from "./backend.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { ModelComposeError, withoutRemedy } from "../base/errors.ts";
import { formatBytes } from "../base/bytes.ts";
import type { DeviceInfo, PrefillMode } from "./generation/types.ts";
import type { ResolvedLoad } from "./load-options.ts";
import { checkGpuMemory, checkMemory, type MemoryNeed } from "./memory-check.ts";
import type { Program } from "./program.ts";
import { planBytes } from "./wasm/plan.ts";
import { WasmBackend } from "./wasm/backend.ts";
import { isSoftwareName, listAdapters, listingText } from "./webgpu/run/adapter.ts";

export interface GpuBackendOptions {
  /** Part of the adapter's name; undefined: the best that is hardware. */
  name: string | undefined;
  /** Bytes. */
  gpuMemory: number | undefined;
  prefill: PrefillMode;
  signal: AbortSignal | undefined;
}

/** A GPU that is open: `load` or `dispose` ends that, and so does disposing what `load` gave. */
export interface GpuBackend extends Backend {
  readonly device: DeviceInfo;
  /** What loading will take, without loading. */
  plan(program: Program, checkpoint: Checkpoint, contextLength: number, slots: number): MemoryNeed;
  dispose(): Promise<void>;
}

export interface DeviceLoad {
  program: Program;
  checkpoint: Checkpoint;
  request: Pick<ResolvedLoad, "device" | "threads" | "gpuMemory" | "prefill">;
  options: ExecutableOptions;
  onNotice: ((line: string) => void) | undefined;
  /** Default: the GPU through Dawn, loaded when it is first needed. */
  openGpuBackend?: (options: GpuBackendOptions) => Promise<GpuBackend>;
}

/**
 * @throws ModelComposeError "device" or "invalid-argument" for a GPU that is not there, "out-of-memory", and what
 *   loading throws
 */
export async function loadOnDevice(load: DeviceLoad): Promise<Executable> {
  const { device, prefill } = load.request;
  switch (device.kind) {
    case "list":
      throw await adapterListing();
    case "wasm":
      return loadOnCpu(load);
    case "webgpu":
      return loadOnGpu(load, device.adapter);
    case "auto": {
      const failure = await attempt(() => loadOnGpu(load, undefined));
      if (!(failure instanceof ModelComposeError)) {
        return failure;
      }
      if (prefill !== "exact") {
        throw new ModelComposeError(
          "invalid-argument",
          `The prefill mode "${prefill}" needs a GPU, and "auto" found none to use: ${withoutRemedy(failure)}`,
          { remedy: 'Leave "prefill" out: the CPU is always exact.', parameter: "prefill", cause: failure },
        );
      }
      load.onNotice?.(`No GPU is used: ${withoutRemedy(failure)}`);
      return loadOnCpu(load);
    }
  }
}

/** The answer to the device "webgpu:?". */
async function adapterListing(): Promise<ModelComposeError> {
  const list = listingText(await listAdapters());
  return new ModelComposeError("invalid-argument", `"webgpu:?" lists the WebGPU adapters:\n${list}\n`, {
    remedy: 'Ask for one with "webgpu:" and part of its name.',
    parameter: "device",
  });
}

/** What a GPU that cannot be used says; anything else that goes wrong would go wrong on the CPU too, and is thrown. */
async function attempt(run: () => Promise<Executable>): Promise<Executable | ModelComposeError> {
  try {
    return await run();
  } catch (error) {
    const isGpus =
      error instanceof ModelComposeError && ["device", "out-of-memory", "unsupported"].includes(error.code);
    if (isGpus) {
      return error;
    }
    throw error;
  }
}

async function loadOnCpu({
  program,
  checkpoint,
  request,
  options,
  onNotice,
}: DeviceLoad): Promise<Executable> {
  const { contextLength, slots } = options;
  const backend = new WasmBackend({ threads: request.threads });
  const need = planBytes(backend.plan(program, checkpoint, contextLength, slots));
  const memoryNotice = checkMemory(need, contextLength);
  onNotice?.(`Device: ${backend.device.description}; context: ${contextLength} tokens.`);
  if (memoryNotice !== undefined) {
    onNotice?.(memoryNotice);
  }
  return backend.load(program, checkpoint, options);
}

async function loadOnGpu(
  { program, checkpoint, request, options, onNotice, openGpuBackend = openWebGpu }: DeviceLoad,
  name: string | undefined,
): Promise<Executable> {
  const { contextLength, slots, signal } = options;
  const { gpuMemory, prefill } = request;
  const backend = await openGpuBackend({ name, gpuMemory, prefill, signal });
  try {
    const { description, adapter = "" } = backend.device;
    const need = backend.plan(program, checkpoint, contextLength, slots);
    checkGpuMemory(need, contextLength, gpuMemory, description);
    if (isSoftwareName(adapter)) {
      onNotice?.(
        `WARNING: ${adapter} is no GPU but a program on the CPU, for tests: results are right, and come many times ` +
          'slower than from the device "wasm".',
      );
    }
    const why = request.device.kind === "auto" ? ", the best GPU of this machine" : "";
    onNotice?.(
      `Device: ${description}${why}; context: ${contextLength} tokens; GPU memory: ${formatBytes(need.weightBytes)} of ` +
        `weights, ${formatBytes(need.kvCacheBytes)} of KV cache, ${formatBytes(need.workBytes)} of work.`,
    );
    if (prefill !== "exact") {
      onNotice?.(`Prompts are read with "${prefill}" arithmetic, which is not exact.`);
    }
    return await backend.load(program, checkpoint, options);
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

async function openWebGpu({ name, gpuMemory, prefill, signal }: GpuBackendOptions): Promise<GpuBackend> {
  const { WebGpuBackend } = await import("./webgpu/backend.ts");
  return WebGpuBackend.open({ name, budget: gpuMemory, prefill, signal });
}
