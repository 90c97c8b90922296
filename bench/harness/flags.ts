/** The command line of the benchmark. */
import type { Dot, KernelBuild } from "../../src/kernels/wasm-module.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import type { Activations, KvPrecision, PrefillMode } from "../../src/runtime/device-types.ts";
import type { Quantization } from "../../src/runtime/held-formats.ts";
import { KERNEL_CHOICES, kernelChoice } from "../../src/runtime/kernel-choice.ts";
import { resolveRuntimeOptions, type DeviceChoice } from "../../src/runtime/load-options.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { plotFlag } from "../plot/write-plot.ts";
import { countFlag, parseFlags, usageError } from "./usage.ts";

export const USAGE = `Usage: bench --model DIR [flags]
       bench --dawn-backend null [--model DIR] [flags]
  --model DIR               folder of the model, or a repository in the Hugging Face cache
  --device DEVICE           wasm (default), webgpu or webgpu:NAME; webgpu:? lists the adapters
  --prompt-tokens N         tokens of the measured prefill (default 512)
  --decode-prompt-tokens N  tokens before the measured decode (default 128)
  --new-tokens N            tokens of the measured decode, at least 2 (default 64)
  --repeat N                measurements of each kind (default 3)
  --context-length N        capacity of the KV cache (default: what is needed, at least 512)
  --contended               decode also beside one busy process per core
  --json                    print one JSON object
  --plot FILE.svg           draw the result: decode and prefill
  --quantization KIND       none (default), int8 or int4
The CPU:
  --threads N               threads (default: the available cores); with webgpu those of --check
  --kernel-build BUILD      wide-256, relaxed-128 or baseline, the first two also with +vnni or +dot16, the instruction that
                            multiplies integers (default: the best that runs here)
  --no-quantized-cache      quantise at every load (default: the first load keeps quantised weights on disk)
  --depth N                 decode at position N of a cache that is filled and not read, so that no long prompt is computed
  --activations TYPE        with quantised weights: int8 (default) or float32
  --kv-precision TYPE       what the KV cache holds: float32 (default) or float16 (default with --quantization)
The GPU:
  --prefill MODE            exact (default), split, f16 or subgroup-matrix
  --check                   compare logits and tokens with those of the CPU
  --profile                 where the time of a token and of a prefill goes, kernel by kernel
  --dawn-backend null       what a token costs the calling thread, on Dawn's backend that computes nothing; without
                            --model a SmolLM3 of 36 narrow layers (defaults: --new-tokens 256, --repeat 5)
`;

export type BenchDeviceChoice = Extract<DeviceChoice, { kind: "webgpu" }> | { kind: "wasm" };

/** The options of a benchmark of a model, checked. */
export interface BenchFlags {
  model: string;
  device: BenchDeviceChoice;
  threads: number;
  promptTokens: number;
  decodePromptTokens: number;
  /** Whether the tokens before the decode are filled into the cache, and not computed. */
  fillsCache: boolean;
  /** Number of new tokens, at least 2: the first token ends the prefill, decode is what follows. */
  newTokens: number;
  repeat: number;
  contextLength: number | undefined;
  kernelBuild: KernelBuild | undefined;
  /** How the CPU multiplies integers; undefined: as it does best. */
  integerDot: Dot | undefined;
  quantization: Quantization;
  activations: Activations;
  /** What the CPU's KV cache holds; undefined: as the quantization has it. */
  kvPrecision: KvPrecision | undefined;
  quantizedCache: boolean;
  prefill: PrefillMode;
  check: boolean;
  profile: boolean;
  contended: boolean;
  json: boolean;
  /** File of a picture; undefined: none is drawn. */
  plot: string | undefined;
}

/** The options with --dawn-backend null, checked. */
export interface EncodeFlags {
  /** Name or folder of the model; undefined: a narrow SmolLM3. */
  model: string | undefined;
  decodePromptTokens: number;
  newTokens: number;
  repeat: number;
  contextLength: number | undefined;
  json: boolean;
}

export type Command =
  | { kind: "help" | "list-adapters" }
  | { kind: "model"; flags: BenchFlags }
  | { kind: "encode"; flags: EncodeFlags };

/**
 * Reads the command line.
 *
 * @throws ModelComposeError "usage" for a wrong command line
 */
export function readFlags(args: string[]): Command {
  const values = parse(args);
  if (values.help) {
    return { kind: "help" };
  }
  if (values["dawn-backend"] !== undefined) {
    return { kind: "encode", flags: encodeFlags(values) };
  }
  const request = {
    device: values.device ?? "wasm",
    prefill: values.prefill as PrefillMode | undefined,
    quantization: values.quantization as Quantization | undefined,
    activations: values.activations as Activations | undefined,
    kvPrecision: values["kv-precision"] as KvPrecision | undefined,
  };
  const options = asUsage(() => resolveRuntimeOptions(request));
  const { device, prefill, quantization, activations, kvPrecision } = options;
  if (quantization === "auto") {
    throw usageError(
      "--quantization must be none, int8 or int4: what is measured is not left to the machine.",
    );
  }
  if (device.kind === "list") {
    return { kind: "list-adapters" };
  }
  if (values.model === undefined || values.model === "") {
    throw usageError("--model is missing.");
  }
  const chosen = chooseDevice(device);
  refuse(
    values,
    chosen.kind === "wasm"
      ? ["check", "profile"]
      : ["kernel-build", "activations", "kv-precision", "depth", "no-quantized-cache"],
    `--device ${chosen.kind}`,
  );
  if (values.depth !== undefined) {
    refuse(values, ["decode-prompt-tokens"], "--depth");
  }
  const flags: BenchFlags = {
    model: values.model,
    device: chosen,
    threads: countFlag("--threads", values.threads) ?? availableCores(),
    promptTokens: countFlag("--prompt-tokens", values["prompt-tokens"]) ?? 512,
    decodePromptTokens:
      countFlag("--depth", values.depth) ??
      countFlag("--decode-prompt-tokens", values["decode-prompt-tokens"]) ??
      128,
    fillsCache: values.depth !== undefined,
    newTokens: countFlag("--new-tokens", values["new-tokens"], { least: 2 }) ?? 64,
    repeat: countFlag("--repeat", values.repeat) ?? 3,
    contextLength: countFlag("--context-length", values["context-length"]),
    ...kernelBuild(values["kernel-build"]),
    quantization,
    activations,
    kvPrecision,
    quantizedCache: values["no-quantized-cache"] !== true,
    prefill,
    check: values.check === true,
    profile: values.profile === true,
    contended: values.contended === true,
    json: values.json,
    plot: plotFlag("--plot", values.plot),
  };
  return { kind: "model", flags };
}

function encodeFlags(values: Values): EncodeFlags {
  const backend = values["dawn-backend"];
  if (backend !== "null") {
    throw usageError(`--dawn-backend must be null; found "${backend}".`);
  }
  refuse(
    values,
    [
      "device",
      "prompt-tokens",
      "prefill",
      "threads",
      "kernel-build",
      "quantization",
      "activations",
      "kv-precision",
      "depth",
      "check",
      "profile",
      "contended",
      "plot",
    ],
    "--dawn-backend null, which computes nothing",
  );
  return {
    model: values.model,
    decodePromptTokens: countFlag("--decode-prompt-tokens", values["decode-prompt-tokens"]) ?? 128,
    newTokens: countFlag("--new-tokens", values["new-tokens"], { least: 2 }) ?? 256,
    repeat: countFlag("--repeat", values.repeat) ?? 5,
    contextLength: countFlag("--context-length", values["context-length"]),
    json: values.json,
  };
}

function chooseDevice(device: DeviceChoice): BenchDeviceChoice {
  if (device.kind === "webgpu") {
    return device;
  }
  if (device.kind === "wasm") {
    return { kind: "wasm" };
  }
  throw usageError(`--device must be wasm, webgpu or webgpu:NAME; found "${device.kind}".`);
}

type Values = ReturnType<typeof parse>;

function parse(args: string[]) {
  return parseFlags({
    args,
    options: {
      model: { type: "string" },
      device: { type: "string" },
      threads: { type: "string" },
      "prompt-tokens": { type: "string" },
      "decode-prompt-tokens": { type: "string" },
      "new-tokens": { type: "string" },
      repeat: { type: "string" },
      "context-length": { type: "string" },
      "kernel-build": { type: "string" },
      quantization: { type: "string" },
      activations: { type: "string" },
      "kv-precision": { type: "string" },
      depth: { type: "string" },
      "no-quantized-cache": { type: "boolean" },
      prefill: { type: "string" },
      check: { type: "boolean" },
      profile: { type: "boolean" },
      "dawn-backend": { type: "string" },
      contended: { type: "boolean" },
      json: { type: "boolean", default: false },
      plot: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}

function refuse(values: Values, names: readonly (keyof Values)[], reason: string): void {
  for (const name of names) {
    if (values[name] !== undefined) {
      throw usageError(`--${name} does not go with ${reason}.`);
    }
  }
}

function kernelBuild(text: string | undefined): Pick<BenchFlags, "kernelBuild" | "integerDot"> {
  const choice = text === undefined ? { kernelBuild: undefined, integerDot: undefined } : kernelChoice(text);
  if (choice === undefined) {
    throw usageError(`--kernel-build must be ${KERNEL_CHOICES}; found "${text}".`);
  }
  return choice;
}

/** Does `action`; what the library calls an invalid argument is a wrong command line here. */
function asUsage<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    throw new ModelComposeError("usage", error.message, { cause: error });
  }
}
