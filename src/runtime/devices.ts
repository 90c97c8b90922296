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
          { remedy: 'Leave "prefill" out: the CPU is always exact.', cause: failure },
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
  const { slots } = options;
  const backend = new WasmBackend({ threads: request.threads });
  const check = (contextLength: number): string | undefined =>
    checkMemory(planBytes(backend.plan(program, checkpoint, contextLength, slots)), contextLength);
  const admit = (contextLength: number): void => {
    const memoryNotice = check(contextLength);
    onNotice?.(`Device: ${backend.device.description}; context: ${contextLength} tokens.`);
    if (memoryNotice !== undefined) {
      onNotice?.(memoryNotice);
    }
  };
  return backend.load(program, checkpoint, admitted(options, check, admit));
}

async function loadOnGpu(
  { program, checkpoint, request, options, onNotice, openGpuBackend = openWebGpu }: DeviceLoad,
  name: string | undefined,
): Promise<Executable> {
  const { slots, signal } = options;
  const { gpuMemory, prefill } = request;
  const backend = await openGpuBackend({ name, gpuMemory, prefill, signal });
  try {
    const { description, adapter = "" } = backend.device;
    const check = (contextLength: number): MemoryNeed => {
      const need = backend.plan(program, checkpoint, contextLength, slots);
      checkGpuMemory(need, contextLength, gpuMemory, description);
      return need;
    };
    const admit = (contextLength: number): void => {
      const need = check(contextLength);
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
    };
    return await backend.load(program, checkpoint, admitted(options, check, admit));
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

/**
 * Options for a load that memory has been checked for. A context that is counted meanwhile is checked twice: at the least
 * that it will be before anything is loaded, and at what was counted before the device sizes its cache by it.
 *
 * @param check throws when a context does not fit
 * @param admit checks and says what is loaded
 */
function admitted(
  options: ExecutableOptions,
  check: (contextLength: number) => unknown,
  admit: (contextLength: number) => void,
): ExecutableOptions {
  const { contextLength } = options;
  if (typeof contextLength === "number") {
    admit(contextLength);
    return options;
  }
  const { least, most } = contextLength;
  check(least);
  const counted = contextLength.counted.then((length) => {
    admit(length);
    return length;
  });
  counted.catch(() => undefined); // the device throws it where it waits, if it comes so far
  return { ...options, contextLength: { least, most, counted } };
}

async function openWebGpu({ name, gpuMemory, prefill, signal }: GpuBackendOptions): Promise<GpuBackend> {
  const { WebGpuBackend } = await import("./webgpu/backend.ts");
  return WebGpuBackend.open({ name, budget: gpuMemory, prefill, signal });
}
