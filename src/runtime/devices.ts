/** Loads a program on the device that was asked for, and says which one that is and why. */
import type {
  Backend,
  Executable,
  ExecutableOptions,
  LoadHooks,
  MemoryUse,
  MoreSlots,
  Preparation,
} from "./backend.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { withAbort } from "../base/async/abort.ts";
import { ModelComposeError, withoutRemedy } from "../base/errors.ts";
import type { KvPrecision, PrefillMode } from "./device-types.ts";
import { storedPrecision, STORED_FORMATS } from "./checkpoint/stored-precision.ts";
import { gpuNotices } from "./gpu-notices.ts";
import { defaultKvPrecision, type Quantization } from "./held-formats.ts";
import { leastLength } from "./late-context.ts";
import type { ResolvedLoad } from "./load-options.ts";
import { quantizedForCpu, quantizedForGpu } from "./choose-quantization.ts";
import { allBytes, cpuNeed, type LoadRoom } from "./load-room.ts";
import { checkBudget, checkGpuMemory, checkMemory } from "./memory-check.ts";
import { moreOnCpu, moreOnGpu } from "./more-slots.ts";
import { availableMemory } from "./platform/system.ts";
import type { Program } from "./program.ts";
import { cpuWorkBytes as wasmWorkBytes, WasmBackend } from "./wasm/backend.ts";
import {
  isSoftwareName,
  listingText,
  NoGpuError,
  type AdapterSummary,
} from "./webgpu/run/adapter-summary.ts";
import { listAdapters as listGpuAdapters } from "./webgpu/run/adapter.ts";

export { listingText, type AdapterSummary } from "./webgpu/run/adapter-summary.ts";

/**
 * Bytes of activations and scratch of a program on the CPU, about, of one sequence at a time. Types of the library begin here: an
 * export of the CPU device's own function would lead them to those of WebAssembly, which not everybody has.
 *
 * @param heldBytes bytes of weights and cache
 */
export function cpuWorkBytes(
  program: Program,
  options: { readonly threads: number; readonly contextLength: number; readonly kvPrecision?: KvPrecision },
  heldBytes: number,
): number {
  return wasmWorkBytes(program, options, heldBytes);
}

export interface GpuBackendOptions {
  /** Part of the adapter's name; undefined: the best adapter that is hardware. */
  name: string | undefined;
  /** Whether nobody asked for a GPU by name ("auto"). */
  isUnasked: boolean;
  /** Bytes that the model may take on the GPU; undefined: as many as the GPU gives. */
  gpuMemory: number | undefined;
  prefill: PrefillMode;
  signal: AbortSignal | undefined;
}

export interface DeviceLoad {
  /** What people call the model. Absent: it is not named. */
  name?: string;
  program: Program;
  checkpoint: Checkpoint;
  request: Pick<ResolvedLoad, "device" | "threads" | "gpuMemory" | "prefill"> &
    Partial<Pick<ResolvedLoad, "quantization" | "kernels" | "maxConcurrency" | "kvMemory">>;
  options: ExecutableOptions;
  hooks?: LoadHooks;
  /** Hears, before anything is loaded, what the matrices will be held as: "bfloat16", "int8"; undefined: several formats. */
  onHeld?: (precision: string | undefined) => void;
  /** What is asked for memory that others have a share in. Absent: nobody else has. */
  room?: LoadRoom;
  onNotice: ((line: string) => void) | undefined;
  onDetail?: ((line: string) => void) | undefined;
  /** Makes the GPU backend. Default: the GPU through Dawn, whose code is loaded when it is first needed. */
  gpuBackend?: (options: GpuBackendOptions) => Promise<Backend>;
}

/**
 * Loads a program on the device that `request` names, or on the one that "auto" finds.
 *
 * @throws ModelComposeError "device" or "invalid-argument" for a GPU that is not there, "out-of-memory", and what
 *   loading throws
 */
export async function loadOnDevice(asked: DeviceLoad): Promise<Executable> {
  const load = await withKnownContext(asked);
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
      const why = `No GPU is used: ${withoutRemedy(failure)}`;
      if (failure instanceof NoGpuError) {
        // Most machines have no GPU that Dawn could use, and most people know that of theirs.
        load.onDetail?.(failure.driverOutput === "" ? why : `${why}\n${failure.driverOutput}`);
        return loadOnCpu(load, " (there is no GPU)");
      }
      load.onNotice?.(why);
      return loadOnCpu(load);
    }
  }
}

/** What shares a budget says what it takes before it is loaded: a context that would come late is waited for. */
async function withKnownContext(load: DeviceLoad): Promise<DeviceLoad> {
  const { options, room, hooks } = load;
  const { contextLength } = options;
  if (room?.budget === undefined || typeof contextLength === "number") {
    return load;
  }
  const counted = await withAbort(contextLength.counted, hooks?.signal);
  return { ...load, options: { ...options, contextLength: counted } };
}

/** The error that answers the device "webgpu:?": it lists the adapters. */
async function adapterListing(): Promise<ModelComposeError> {
  const list = listingText(await listAdapters());
  return new ModelComposeError("invalid-argument", `"webgpu:?" lists the WebGPU adapters:\n${list}\n`, {
    remedy: 'Ask for one with "webgpu:" and part of its name.',
    parameter: "device",
  });
}

/** Loads on a GPU, or returns the error that makes that GPU unusable; what would go wrong on the CPU too is thrown. */
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

/** @param why The words that stand behind the device in the notice */
async function loadOnCpu(load: DeviceLoad, why = ""): Promise<Executable> {
  const { program, checkpoint, request, options, hooks, room, onNotice, onDetail } = load;
  const backend = new WasmBackend({ threads: request.threads, ...request.kernels });
  const prepare = (quantization: Quantization, more?: MoreSlots): Promise<Preparation> => {
    const { kvPrecision = defaultKvPrecision(quantization) } = options;
    return backend.prepare(program, checkpoint, { ...options, quantization, kvPrecision, more });
  };
  const length = leastLength(options.contextLength);
  const { notice, preparation, alternatives, chosen } = await quantizedForCpu(
    request.quantization ?? "none",
    prepare,
    length,
    room?.budget,
  );
  load.onHeld?.(heldPrecision(load, chosen));
  if (room?.budget !== undefined) {
    checkBudget(preparation.memory, length, room.budget, alternatives);
  }
  const given = (await room?.reserve(cpuNeed(preparation.memory, length), hooks?.signal)) ?? Infinity;
  const available = (): number => Math.min(given, availableMemory());
  const check = (memory: MemoryUse, contextLength: number): string | undefined =>
    checkMemory(memory, contextLength, { alternatives, available: available() });
  const admit = (memory: MemoryUse, contextLength: number): void => {
    const memoryNotice = check(memory, contextLength);
    const { description } = preparation.device;
    onNotice?.(`${modelText(load, chosen)}Device: ${description}${why}; context: ${contextLength} tokens.`);
    // Which way to multiply is best is tried only where somebody wants to know.
    onDetail?.(`Kernels: ${backend.kernelBuild}, integers by ${backend.integerDot}.`);
    if (notice !== undefined) {
      onNotice?.(notice);
    }
    if (backend.notice !== undefined) {
      onNotice?.(backend.notice);
    }
    if (memoryNotice !== undefined) {
      onNotice?.(memoryNotice);
    }
  };
  // Memory is checked for what must be; what may be takes some of what is left.
  const more = moreOnCpu(request, preparation.memory, available());
  const wide = program.architecture === "causal" ? await prepare(chosen, more) : preparation;
  // More sequences take more work too.
  const roomy = allBytes(wide.memory) <= given ? wide : preparation;
  return loadChecked(preparation, { options, hooks, check, admit, roomy });
}

async function loadOnGpu(load: DeviceLoad, name: string | undefined): Promise<Executable> {
  const { program, checkpoint, request, options, hooks, room, onNotice, gpuBackend = webGpuBackend } = load;
  const { gpuMemory, prefill, quantization = "none" } = request;
  const budget = Math.min(gpuMemory ?? Infinity, room?.budget ?? Infinity);
  const bound = budget === Infinity ? undefined : budget;
  const backend = await gpuBackend({
    name,
    isUnasked: request.device.kind === "auto",
    gpuMemory,
    prefill,
    signal: hooks?.signal,
  });
  // A GPU does not tell what it has: "auto" quantises where a budget is given that the stored weights do not fit into.
  const { preparation, notice, chosen } = await quantizedForGpu(
    quantization,
    (chosen) => {
      const { kvPrecision = defaultKvPrecision(chosen) } = options;
      const more = program.architecture === "causal" ? moreOnGpu(request, bound) : undefined;
      return backend.prepare(program, checkpoint, { ...options, quantization: chosen, kvPrecision, more });
    },
    bound,
  );
  load.onHeld?.(heldPrecision(load, chosen));
  try {
    if (room?.budget !== undefined) {
      checkBudget(preparation.memory, leastLength(options.contextLength), room.budget);
    }
    await room?.reserve({ bytes: allBytes(preparation.memory), machineBytes: 0 }, hooks?.signal);
    const { description, adapter = "" } = preparation.device;
    const check = (need: MemoryUse, contextLength: number): void => {
      checkGpuMemory(need, contextLength, gpuMemory, description);
    };
    const admit = (need: MemoryUse, contextLength: number): void => {
      check(need, contextLength);
      const notices = gpuNotices({
        device: preparation.device,
        model: modelText(load, chosen),
        isSoftware: isSoftwareName(adapter),
        why: request.device.kind === "auto" ? ", the best GPU of this machine" : "",
        need,
        contextLength,
        prefill,
      });
      for (const line of notice === undefined ? notices : [...notices, notice]) {
        onNotice?.(line);
      }
    };
    return await loadChecked(preparation, { options, hooks, check, admit });
  } catch (error) {
    await preparation.dispose();
    throw error;
  }
}

/** The model and what its weights are held as, a sentence with a space behind it; empty for one without a name. */
function modelText(load: DeviceLoad, quantization: Quantization): string {
  if (load.name === undefined) {
    return "";
  }
  const held = heldPrecision(load, quantization);
  return `Model: ${load.name}${held === undefined ? "" : ` (${held})`}. `;
}

/** What the matrices are held as; undefined: the checkpoint has several formats. */
function heldPrecision({ checkpoint, options }: DeviceLoad, quantization: Quantization): string | undefined {
  const asked = PRECISION_NAMES.find((precision) => STORED_FORMATS[precision] === options.format);
  return quantization === "none" ? (asked ?? storedPrecision(checkpoint)) : quantization;
}

const PRECISION_NAMES = ["float32", "float16", "bfloat16"] as const;

interface CheckedLoad {
  readonly options: ExecutableOptions;
  readonly hooks: LoadHooks | undefined;
  /** Throws when a context of that length does not fit. */
  readonly check: (memory: MemoryUse, contextLength: number) => unknown;
  /** Checks as `check` does, and says what is loaded. */
  readonly admit: (memory: MemoryUse, contextLength: number) => void;
  /** What is loaded: the program with room for more sequences. Default: what is checked. */
  readonly roomy?: Preparation;
}

/**
 * Loads what memory has been checked for. A context that is counted meanwhile is checked twice: at the least that it will
 * be before anything is loaded, and at what was counted before the device sizes its cache by it.
 */
function loadChecked(
  preparation: Preparation,
  { options, hooks, check, admit, roomy = preparation }: CheckedLoad,
): Promise<Executable> {
  const { contextLength } = options;
  if (typeof contextLength === "number") {
    admit(preparation.memory, contextLength);
    return roomy.load(hooks);
  }
  check(preparation.memory, contextLength.least);
  return roomy.load({
    ...hooks,
    admit: (length) => {
      admit(preparation.memoryFor(length), length);
    },
  });
}

async function webGpuBackend(options: GpuBackendOptions): Promise<Backend> {
  const { name, isUnasked, gpuMemory, prefill, signal } = options;
  const { WebGpuBackend } = await import("./webgpu/backend.ts");
  return new WebGpuBackend({ name, trustsCache: isUnasked, budget: gpuMemory, prefill, signal });
}

/**
 * The GPUs of this machine, the best first (discrete ones, integrated ones, software).
 *
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform, "device" when a driver fails
 */
export function listAdapters(): Promise<AdapterSummary[]> {
  return listGpuAdapters();
}
