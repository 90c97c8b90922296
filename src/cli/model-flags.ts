/** The flags of the commands that take a model without a compose file: which one, how it is held, how tokens are drawn. */
import { Option, type Command } from "commander";
import { generationParameters as ranges } from "../compose/definition/parameters.ts";
import type { LoadOptions } from "../models/load-options.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";
import { checkFlag, collect, countSchema, deviceOptions, numberFlag, type DeviceFlags } from "./flags.ts";

/** How a model is held. */
export interface ModelFlags extends DeviceFlags {
  readonly precision?: string;
  readonly quantization?: string;
  readonly activations?: string;
  readonly kvPrecision?: string;
  readonly quantizedCache?: boolean;
  readonly contextLength?: number;
}

/** How tokens are drawn, and when a text ends. */
export interface SamplingFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly noRepeatNgramSize?: number;
  readonly doSample?: boolean;
  readonly greedy?: boolean;
  readonly seed?: number;
  readonly stop?: readonly string[];
}

/** The flags that say how a model is held, with the key that says the same in a compose file. */
export const MODEL_FLAGS = {
  precision: { flag: "--precision", key: "precision" },
  quantization: { flag: "--quantization", key: "quantization" },
  activations: { flag: "--activations", key: "activations" },
  kvPrecision: { flag: "--kv-precision", key: "kv_precision" },
  quantizedCache: { flag: "--no-quantized-cache", key: undefined },
  contextLength: { flag: "--context-length", key: "context_length" },
} as const satisfies Partial<Record<keyof ModelFlags, { flag: string; key: string | undefined }>>;

/** @param instead what the model takes the place of, where it is not the only way */
export function modelFlag(command: Command, instead = ""): Command {
  return command.option(
    "-m, --model <model>",
    `tales (bundled), a folder, or a repository such as HuggingFaceTB/SmolLM2-135M-Instruct${instead}`,
  );
}

export function modelFlags(command: Command): Command {
  return heldFlags(modelFlag(command));
}

/** How a model is held. @param contextDefault what the context is where nobody says */
export function heldFlags(
  command: Command,
  contextDefault = "4096, or the model's maximum if that is less",
): Command {
  return command
    .option(
      "--precision <precision>",
      "how weights are held: stored (default: as the checkpoint has them), float32, float16, bfloat16",
    )
    .option(
      "--quantization <kind>",
      "make the weights smaller while loading: int8, int4, or auto (as far as memory asks for it); default none",
    )
    .option(
      "--activations <type>",
      "with quantised weights on the CPU: int8 (default, fast) or float32 (exact products, slow)",
    )
    .option(
      "--kv-precision <precision>",
      "what the KV cache holds: float32 (default) or float16 (half the memory)",
    )
    .option("--no-quantized-cache", "neither keep quantised weights on disk nor take them from there")
    .option(
      "--context-length <n>",
      `capacity of the KV cache in tokens (default: ${contextDefault})`,
      numberFlag,
    );
}

export function samplingFlags(command: Command): Command {
  return command
    .option(
      "--max-tokens <n>",
      "at most this many new tokens (default: as many as the context holds)",
      numberFlag,
    )
    .option("--temperature <t>", "divides the logits; 0 is greedy", numberFlag)
    .option("--top-k <k>", "keep the k most likely tokens; 0 keeps all", numberFlag)
    .option("--top-p <p>", "nucleus sampling: keep the likeliest tokens that reach p", numberFlag)
    .option("--min-p <p>", "keep tokens at least p times as likely as the likeliest", numberFlag)
    .option("--repetition-penalty <x>", "penalty on tokens already there; 1 is off", numberFlag)
    .option("--no-repeat-ngram-size <n>", "no n-gram of this size twice; 0 is off", numberFlag)
    .option("--do-sample", "draw tokens (default: as the model's generation_config says)")
    .addOption(new Option("--greedy", "always the likeliest token").conflicts("doSample"))
    .option("--seed <n>", "same seed, same text", numberFlag)
    .option("--stop <text>", "end before this text, repeatable", collect);
}

/** The options of `loadModel` that the flags say. @throws ModelComposeError `usage` */
export function modelOptions(flags: ModelFlags): LoadOptions {
  return {
    ...deviceOptions(flags),
    contextLength: checkFlag("context-length", countSchema, flags.contextLength),
    // loadModel refuses what it does not know.
    precision: flags.precision as LoadOptions["precision"],
    quantization: flags.quantization as LoadOptions["quantization"],
    activations: flags.activations as LoadOptions["activations"],
    kvPrecision: flags.kvPrecision as LoadOptions["kvPrecision"],
    quantizedCache: flags.quantizedCache,
  };
}

/** The parameters of flags by which tokens are drawn, in the names of the library. @throws ModelComposeError `usage` */
export function drawingOptions(flags: SamplingFlags): GenerateOptions {
  return {
    temperature: checkFlag("temperature", ranges.temperature, flags.temperature),
    topK: checkFlag("top-k", ranges.top_k, flags.topK),
    topP: checkFlag("top-p", ranges.top_p, flags.topP),
    minP: checkFlag("min-p", ranges.min_p, flags.minP),
    seed: checkFlag("seed", ranges.seed, flags.seed),
  };
}
