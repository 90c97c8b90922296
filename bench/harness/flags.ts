/** The command line of the benchmark. */
import { parseArgs } from "node:util";
import type { KernelBuild } from "../../src/kernels/wasm-module.ts";
import { errorMessage, ModelComposeError } from "../../src/runtime/errors.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";

export const USAGE = `Usage: bench --model DIR [flags]
  --model DIR               folder of the model, or a repository in the Hugging Face cache
  --threads N               threads (default: the available cores)
  --prompt-tokens N         tokens of the measured prefill (default 512)
  --decode-prompt-tokens N  tokens before the measured decode (default 128)
  --new-tokens N            tokens of the measured decode, at least 2 (default 64)
  --repeat N                measurements of each kind (default 3)
  --context-length N        capacity of the KV cache (default: what is needed, at least 512)
  --kernel-build BUILD      relaxed or baseline (default: the best that this Node runs)
  --device DEVICE           wasm (the only one for now)
  --contended               decode also beside one busy process per core
  --json                    print one JSON object
`;

export interface BenchFlags {
  model: string;
  threads: number;
  promptTokens: number;
  decodePromptTokens: number;
  /** At least 2: the first token ends the prefill, decode is what follows. */
  newTokens: number;
  repeat: number;
  contextLength: number | undefined;
  kernelBuild: KernelBuild | undefined;
  contended: boolean;
  json: boolean;
}

/** @throws ModelComposeError "usage" for a wrong command line, "unsupported" for a device that is not there yet. */
export function readFlags(args: string[]): BenchFlags | "help" {
  const values = parse(args);
  if (values.help) return "help";
  if (values.model === undefined || values.model === "") throw usageError("--model is missing.");
  checkDevice(values.device);
  return {
    model: values.model,
    threads: count("--threads", values.threads, 1) ?? availableCores(),
    promptTokens: count("--prompt-tokens", values["prompt-tokens"], 1) ?? 512,
    decodePromptTokens: count("--decode-prompt-tokens", values["decode-prompt-tokens"], 1) ?? 128,
    newTokens: count("--new-tokens", values["new-tokens"], 2) ?? 64,
    repeat: count("--repeat", values.repeat, 1) ?? 3,
    contextLength: count("--context-length", values["context-length"], 1),
    kernelBuild: kernelBuild(values["kernel-build"]),
    contended: values.contended,
    json: values.json,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        model: { type: "string" },
        threads: { type: "string" },
        "prompt-tokens": { type: "string" },
        "decode-prompt-tokens": { type: "string" },
        "new-tokens": { type: "string" },
        repeat: { type: "string" },
        "context-length": { type: "string" },
        "kernel-build": { type: "string" },
        device: { type: "string", default: "wasm" },
        contended: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw usageError(errorMessage(error));
  }
}

const MAX_COUNT = 2 ** 24;

function count(flag: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= MAX_COUNT) return value;
  throw usageError(`${flag} must be an integer from ${least} to ${MAX_COUNT}; found "${text}".`);
}

function kernelBuild(text: string | undefined): KernelBuild | undefined {
  if (text === undefined || text === "relaxed" || text === "baseline") return text;
  throw usageError(`--kernel-build must be relaxed or baseline; found "${text}".`);
}

function checkDevice(device: string): void {
  if (device === "wasm") return;
  if (device === "webgpu") {
    throw new ModelComposeError("unsupported", "--device webgpu is not supported yet.", {
      remedy: "Leave it out to measure the CPU.",
    });
  }
  throw usageError(`--device must be wasm; found "${device}".`);
}

function usageError(message: string): ModelComposeError {
  return new ModelComposeError("usage", message, { remedy: "See --help." });
}
