/** Checks what a caller of loadModel asks for. */
import { inspect } from "node:util";
import { ModelComposeError } from "./errors.ts";
import type { LoadOptions, Precision } from "./generation-types.ts";
import { nearestName } from "./nearest-name.ts";

export interface ResolvedLoad {
  device: "wasm";
  threads: number | undefined;
  contextLength: number | undefined;
  precision: Precision;
}

const PRECISIONS: readonly Precision[] = ["stored", "float32", "float16", "bfloat16"];

const OPTION_NAMES: Readonly<Record<keyof LoadOptions, true>> = {
  device: true,
  threads: true,
  precision: true,
  contextLength: true,
  onProgress: true,
  onNotice: true,
  signal: true,
};

/** More threads than any machine this is made for; a number above it is a mistake. */
const MAX_THREADS = 1024;

/** @throws ModelComposeError "invalid-argument", or "unsupported" for what is known but not there yet. */
export function resolveLoadOptions(options: LoadOptions): ResolvedLoad {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, name)) continue;
    const known = Object.keys(OPTION_NAMES);
    const nearest = nearestName(name, known);
    throw new ModelComposeError("invalid-argument", `There is no load option "${name}".`, {
      remedy: nearest === undefined ? `The options are ${known.join(", ")}.` : `Did you mean "${nearest}"?`,
    });
  }
  return {
    precision: resolvePrecision(options.precision),
    device: resolveDevice(options.device),
    threads: count("threads", options.threads, MAX_THREADS),
    contextLength: count("contextLength", options.contextLength, 2 ** 24),
  };
}

function resolvePrecision(precision: unknown): Precision {
  if (precision === undefined) return "stored";
  const found = PRECISIONS.find((name) => name === precision);
  if (found !== undefined) return found;
  throw new ModelComposeError(
    "unsupported",
    `The precision ${inspect(precision)} is not supported; expected one of ${PRECISIONS.join(", ")}.`,
    { remedy: "Leave it out: weights are kept as the checkpoint has them." },
  );
}

function resolveDevice(device: unknown): "wasm" {
  if (device === undefined || device === "auto" || device === "wasm") return "wasm";
  if (typeof device === "string" && /^webgpu(:|$)/.test(device)) {
    throw new ModelComposeError("unsupported", `The device "${device}" is not supported yet.`, {
      remedy: 'Use "wasm" (the CPU), or leave the device out.',
    });
  }
  throw new ModelComposeError(
    "invalid-argument",
    `There is no device ${inspect(device)}; expected "auto", "wasm" or "webgpu".`,
  );
}

function count(name: string, value: unknown, most: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  throw new ModelComposeError(
    "invalid-argument",
    `The option "${name}" must be an integer from 1 to ${most}; found ${inspect(value)}.`,
    { remedy: "Correct it or leave it out." },
  );
}
