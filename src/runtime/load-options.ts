/** What a caller may ask of the runtime when a model is loaded: the device, and what the model takes on it. */
import { inspect } from "node:util";
import { ModelComposeError } from "../base/errors.ts";
import type { Activations, DeviceRequest, KvPrecision, Precision, PrefillMode } from "./device-types.ts";
import { KERNEL_CHOICES, kernelChoice, type KernelChoice } from "./kernel-choice.ts";
import { QUANTIZATIONS, type Quantization } from "./held-formats.ts";

/** The context in tokens with which a model is loaded when nothing else is said, as far as the model was made for it. */
export const DEFAULT_CONTEXT = 4096;

export interface RuntimeOptions {
  /** The device to load on. Default "auto". */
  device?: DeviceRequest;
  /** Threads of the WASM device. Integer in 1 .. 1024. Default: the available cores. */
  threads?: number;
  /**
   * Which kernels the WASM device runs: "wide-256", "relaxed-128" or "baseline", the first two also with "+vnni" or "+dot16", the
   * instruction that multiplies integers. Default: the best that runs here.
   */
  kernelBuild?: string;
  /** Bytes that the model may take on the GPU. Default: what the GPU gives. */
  gpuMemory?: number;
  /** How a GPU multiplies while it reads a prompt. Default "exact", with "auto" too. Another mode needs a GPU. */
  prefill?: PrefillMode;
  /**
   * How weights are held that are not quantised. "stored" (default), or "auto", keeps them as the checkpoint has them; by name
   * of a type the CPU converts them to it, and a GPU wants them to be of it.
   */
  precision?: Precision | "auto";
  /**
   * What weights become while they are loaded: "none" (default): they stay as `precision` says. "int8": 8.5 bits a weight.
   * "int4": 4.5 bits, with the table of tokens, the output layer and the projections of values as int8. "auto": the first of
   * none, int8 and int4 with which model and context fit into the memory that is free.
   */
  quantization?: Quantization | "auto";
  /** How the CPU multiplies with quantised weights. Default "int8". */
  activations?: Activations;
  /**
   * What the KV cache holds: "float32" (default), or "float16" (default where weights are quantised), which takes half the
   * memory. Keys and values are then rounded to the nearest; beyond ±65504 they become that.
   */
  kvPrecision?: KvPrecision;
  /**
   * Whether quantised weights are kept in the cache folder (MODEL_COMPOSE_CACHE_DIR, else the system's), from where the next
   * load takes them. Default true.
   */
  quantizedCache?: boolean;
  /** Capacity of the KV cache in tokens; "max": all that the model was made for. Default min(model maximum, 4096). */
  contextLength?: number | "max";
  /**
   * Beams that one request may have: each takes a KV cache of the whole context. Integer >= 1. Default: num_beams of
   * generation_config.json, else 1.
   */
  maxBeams?: number;
  /**
   * Sequences that may be in memory at once: those that are generated side by side, and those that are kept for prompts that begin
   * alike. Integer in 1 .. 256. Default: as many as fit into `kvMemory`, at most 16.
   */
  maxConcurrency?: number;
  /**
   * Bytes that the KV cache may take for all sequences together; one of the whole context has room in any case. Default: what that
   * takes and, on the CPU, a quarter of the memory that is free beside the model, at most 2 GiB; on a GPU 512 MiB in all, and nothing
   * but that one where `gpuMemory` is given.
   */
  kvMemory?: number;
  /**
   * Seconds for which a pass may show no progress; then the device counts as hung, and the model is lost. Integer in
   * 1 .. 86400. Default 600.
   */
  passTimeout?: number;
}

/** A device that was asked for; "list" asks what adapters there are. */
export type DeviceChoice =
  | { kind: "auto" | "wasm" | "list" }
  /** A GPU; `adapter` is part of its adapter's name; undefined: the best that is hardware. */
  | { kind: "webgpu"; adapter: string | undefined };

/** RuntimeOptions, checked; undefined is what was left out. */
export interface ResolvedLoad {
  device: DeviceChoice;
  threads: number | undefined;
  kernels: KernelChoice | undefined;
  /** Bytes that the model may take on the GPU; undefined: as many as the GPU gives. */
  gpuMemory: number | undefined;
  prefill: PrefillMode;
  /** Capacity of the KV cache in tokens; Infinity: the model's maximum. */
  contextLength: number | undefined;
  /** Beams that one request may have; undefined: as many as generation_config.json asks for. */
  maxBeams: number | undefined;
  /** Sequences that may be in memory at once; undefined: as the device has it. */
  maxConcurrency: number | undefined;
  /** Bytes of the KV cache for all sequences together; undefined: as memory allows. */
  kvMemory: number | undefined;
  /** Seconds for which a pass may show no progress. */
  passTimeout: number;
  precision: Precision;
  quantization: Quantization | "auto";
  activations: Activations;
  /** Undefined: as the device and the quantization have it. */
  kvPrecision: KvPrecision | undefined;
  quantizedCache: boolean;
}

const ACTIVATIONS: readonly Activations[] = ["int8", "float32"];

const KV_PRECISIONS: readonly KvPrecision[] = ["float32", "float16"];

const PRECISIONS: readonly Precision[] = ["stored", "float32", "float16", "bfloat16"];

const OPTION_NAMES: Readonly<Record<keyof RuntimeOptions, true>> = {
  device: true,
  threads: true,
  kernelBuild: true,
  gpuMemory: true,
  prefill: true,
  precision: true,
  quantization: true,
  activations: true,
  kvPrecision: true,
  quantizedCache: true,
  contextLength: true,
  maxBeams: true,
  maxConcurrency: true,
  kvMemory: true,
  passTimeout: true,
};

/** The names of the runtime's options, in the order in which they are documented. */
export const RUNTIME_OPTION_NAMES: readonly string[] = Object.keys(OPTION_NAMES);

const PREFILL_MODES: readonly PrefillMode[] = ["exact", "split", "f16", "subgroup-matrix"];

/** A day, and what a pass takes never: a layer of 256 rows, or a step, is seconds on the slowest machine. */
const MAX_PASS_SECONDS = 86_400;
const DEFAULT_PASS_SECONDS = 600;

/** The most threads: more than any machine this is made for has, so that a number above it is a mistake. */
const MAX_THREADS = 1024;

/** The most beams: more than any search keeps, so that a number above it is a mistake. */
export const MAX_BEAMS = 256;

/** The most sequences at once: more than any device has gain from, so that a number above it is a mistake. */
const MAX_CONCURRENCY = 256;

/**
 * Checks the runtime's options and fills in what they leave out; other options in the object are not looked at.
 *
 * @throws ModelComposeError "invalid-argument" for a value, "unsupported" for a precision that weights cannot be held in
 */
export function resolveRuntimeOptions(options: RuntimeOptions): ResolvedLoad {
  const device = resolveDevice(options.device);
  return {
    precision: resolvePrecision(options.precision),
    quantization: resolveQuantization(options.quantization),
    activations: oneOf("activations", options.activations, ACTIVATIONS),
    kvPrecision:
      options.kvPrecision === undefined
        ? undefined
        : oneOf("kvPrecision", options.kvPrecision, KV_PRECISIONS),
    quantizedCache: options.quantizedCache !== false,
    device,
    gpuMemory: count("gpuMemory", options.gpuMemory, Number.MAX_SAFE_INTEGER),
    prefill: resolvePrefill(options.prefill, device),
    threads: count("threads", options.threads, MAX_THREADS),
    kernels: resolveKernels(options.kernelBuild),
    contextLength:
      options.contextLength === "max" ? Infinity : count("contextLength", options.contextLength, 2 ** 24),
    maxBeams: count("maxBeams", options.maxBeams, MAX_BEAMS),
    maxConcurrency: count("maxConcurrency", options.maxConcurrency, MAX_CONCURRENCY),
    kvMemory: count("kvMemory", options.kvMemory, Number.MAX_SAFE_INTEGER),
    passTimeout: count("passTimeout", options.passTimeout, MAX_PASS_SECONDS) ?? DEFAULT_PASS_SECONDS,
  };
}

function resolvePrecision(precision: unknown): Precision {
  if (precision === undefined) {
    return "stored";
  }
  const found = precision === "auto" ? "stored" : PRECISIONS.find((name) => name === precision);
  if (found !== undefined) {
    return found;
  }
  throw new ModelComposeError(
    "unsupported",
    `The precision ${inspect(precision)} is not supported; expected one of ${PRECISIONS.join(", ")}, auto.`,
    {
      remedy: QUANTIZATIONS.some((name) => name === precision)
        ? `Ask for it as quantization: ${inspect(precision)}.`
        : "Leave it out: weights are kept as the checkpoint has them.",
      parameter: "precision",
    },
  );
}

function resolveKernels(name: unknown): KernelChoice | undefined {
  if (name === undefined) {
    return undefined;
  }
  const choice = typeof name === "string" ? kernelChoice(name) : undefined;
  if (choice === undefined) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "kernelBuild" must be one of ${KERNEL_CHOICES}; found ${inspect(name)}.`,
      { remedy: "Correct it or leave it out.", parameter: "kernelBuild" },
    );
  }
  return choice;
}

function resolveQuantization(quantization: unknown): Quantization | "auto" {
  const names = [...QUANTIZATIONS, "auto"] as const;
  const found = names.find((name) => name === (quantization ?? "none"));
  if (found !== undefined) {
    return found;
  }
  throw new ModelComposeError(
    "unsupported",
    `The quantization ${inspect(quantization)} is not supported; expected one of ${names.join(", ")}.`,
    {
      remedy:
        'Use "int4" for four bits a weight, or leave it out: weights are kept as the checkpoint has them.',
      parameter: "quantization",
    },
  );
}

/** The value of an option that has one of some names, of which the first is the default. */
function oneOf<T extends string>(option: string, value: unknown, names: readonly T[]): T {
  const found = value === undefined ? names[0] : names.find((name) => name === value);
  if (found !== undefined) {
    return found;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The option "${option}" must be one of ${names.join(", ")}; found ${inspect(value)}.`,
    { remedy: "Correct it or leave it out.", parameter: option },
  );
}

function resolveDevice(device: unknown): DeviceChoice {
  if (device === undefined || device === "auto") {
    return { kind: "auto" };
  }
  if (device === "wasm" || device === "cpu") {
    return { kind: "wasm" };
  }
  if (device === "webgpu") {
    return { kind: "webgpu", adapter: undefined };
  }
  if (device === "webgpu:?") {
    return { kind: "list" };
  }
  const adapter = typeof device === "string" ? /^webgpu:(.*\S.*)$/.exec(device)?.[1] : undefined;
  if (adapter !== undefined) {
    return { kind: "webgpu", adapter: adapter.trim() };
  }
  throw new ModelComposeError(
    "invalid-argument",
    `There is no device ${inspect(device)}; expected "auto", "wasm", "cpu", "webgpu" or "webgpu:NAME".`,
    { remedy: '"webgpu:?" lists the names.', parameter: "device" },
  );
}

function resolvePrefill(prefill: unknown, device: DeviceChoice): PrefillMode {
  const mode = oneOf("prefill", prefill, PREFILL_MODES);
  if (mode !== "exact" && device.kind === "wasm") {
    throw new ModelComposeError(
      "invalid-argument",
      `The prefill mode "${mode}" is the GPU's; the device "wasm" (the CPU) is always exact.`,
      { remedy: 'Leave "prefill" out, or use the device "webgpu".', parameter: "prefill" },
    );
  }
  return mode;
}

function count(name: string, value: unknown, most: number): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= most) {
    return value;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The option "${name}" must be an integer from 1 to ${most}; found ${inspect(value)}.`,
    { remedy: "Correct it or leave it out.", parameter: name },
  );
}
