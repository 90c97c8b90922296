/** Checks what a caller of loadModel asks for. */
import { inspect } from "node:util";
import { ModelComposeError } from "../base/errors.ts";
import type { Architecture, LoadOptions, Precision, PrefillMode } from "./generation/types.ts";
import { nearestName } from "../base/nearest-name.ts";

/** "list" asks what adapters there are. */
export type DeviceChoice =
  | { kind: "auto" | "wasm" | "list" }
  /** `adapter`: part of its name; undefined: the best that is hardware. */
  | { kind: "webgpu"; adapter: string | undefined };

export interface ResolvedLoad {
  device: DeviceChoice;
  threads: number | undefined;
  /** Bytes. */
  gpuMemory: number | undefined;
  prefill: PrefillMode;
  /** Infinity: the model's maximum. */
  contextLength: number | undefined;
  /** Undefined: as many as generation_config.json asks for. */
  maxBeams: number | undefined;
  precision: Precision;
  architecture: Architecture | undefined;
  chat: boolean;
}

const PRECISIONS: readonly Precision[] = ["stored", "float32", "float16", "bfloat16"];

const OPTION_NAMES: Readonly<Record<keyof LoadOptions, true>> = {
  device: true,
  threads: true,
  gpuMemory: true,
  prefill: true,
  precision: true,
  contextLength: true,
  maxBeams: true,
  architecture: true,
  chat: true,
  revision: true,
  token: true,
  cacheDirectory: true,
  localFilesOnly: true,
  onProgress: true,
  onNotice: true,
  signal: true,
};

const PREFILL_MODES: readonly PrefillMode[] = ["exact", "f16", "subgroup-matrix"];

/** More threads than any machine this is made for; a number above it is a mistake. */
const MAX_THREADS = 1024;

/** More sequences than any search keeps; a number above it is a mistake. */
export const MAX_BEAMS = 256;

/** @throws ModelComposeError "invalid-argument", or "unsupported" for what is known but not there yet. */
export function resolveLoadOptions(options: LoadOptions): ResolvedLoad {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, name)) {
      continue;
    }
    const known = Object.keys(OPTION_NAMES);
    const nearest = nearestName(name, known);
    throw new ModelComposeError("invalid-argument", `There is no load option "${name}".`, {
      remedy: nearest === undefined ? `The options are ${known.join(", ")}.` : `Did you mean "${nearest}"?`,
    });
  }
  checkHubOptions(options);
  const device = resolveDevice(options.device);
  return {
    precision: resolvePrecision(options.precision),
    device,
    gpuMemory: count("gpuMemory", options.gpuMemory, Number.MAX_SAFE_INTEGER),
    prefill: resolvePrefill(options.prefill, device),
    threads: count("threads", options.threads, MAX_THREADS),
    contextLength:
      options.contextLength === "max" ? Infinity : count("contextLength", options.contextLength, 2 ** 24),
    maxBeams: count("maxBeams", options.maxBeams, MAX_BEAMS),
    architecture: resolveArchitecture(options.architecture),
    chat: options.chat === true,
  };
}

/** Where a model comes from is read elsewhere; here, that the values are of the right kind. */
function checkHubOptions(options: LoadOptions): void {
  for (const name of ["revision", "token", "cacheDirectory"] as const) {
    const value: unknown = options[name];
    // A variable of the environment that is empty is a token that is not there.
    if (value === undefined || (typeof value === "string" && (name === "token" || value.trim() !== ""))) {
      continue;
    }
    const found = name === "token" ? "" : `; found ${inspect(value)}`;
    throw new ModelComposeError("invalid-argument", `The option "${name}" must be a text${found}.`, {
      remedy: "Correct it or leave it out.",
      parameter: name,
    });
  }
  const localOnly: unknown = options.localFilesOnly;
  if (localOnly === undefined || typeof localOnly === "boolean") {
    return;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The option "localFilesOnly" must be true or false; found ${inspect(localOnly)}.`,
    { remedy: "Correct it or leave it out.", parameter: "localFilesOnly" },
  );
}

function resolvePrecision(precision: unknown): Precision {
  if (precision === undefined) {
    return "stored";
  }
  const found = PRECISIONS.find((name) => name === precision);
  if (found !== undefined) {
    return found;
  }
  throw new ModelComposeError(
    "unsupported",
    `The precision ${inspect(precision)} is not supported; expected one of ${PRECISIONS.join(", ")}.`,
    { remedy: "Leave it out: weights are kept as the checkpoint has them.", parameter: "precision" },
  );
}

function resolveArchitecture(architecture: unknown): Architecture | undefined {
  if (architecture === undefined || architecture === "causal" || architecture === "seq2seq") {
    return architecture;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The architecture ${inspect(architecture)} is unknown; expected "causal" or "seq2seq".`,
    { remedy: "Leave it out: the model's configuration tells.", parameter: "architecture" },
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
  const mode = prefill === undefined ? "exact" : PREFILL_MODES.find((name) => name === prefill);
  if (mode === undefined) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "prefill" must be one of ${PREFILL_MODES.join(", ")}; found ${inspect(prefill)}.`,
      { remedy: "Correct it or leave it out.", parameter: "prefill" },
    );
  }
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
