/** The command line of the comparison. */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { availableCores } from "../../../src/runtime/platform/system.ts";
import { EXPORT_TYPES, type ExportType } from "../export/export-model.ts";
import type { Workload } from "./contender.ts";
import { countFlag, parseFlags, usageError } from "../../harness/usage.ts";
import { plotFlag } from "../../plot/write-plot.ts";

export const USAGE = `Usage: bench:peers --model DIR [flags]
Measures our engine and others in turn, each time in a process of its own; README.md here says how others are built.
  --model DIR               folder of a Llama (SmolLM2) or SmolLM3, real or random weights
  --work DIR                folder of llama.cpp's builds, of GGUF files and results (default ${join(tmpdir(), "peers")})
  --tokenizer DIR           folder of a tokenizer for GGUF files of a model without (the measurements need none)
  --types LIST              how weights are stored (ours: as many bits), of ${EXPORT_TYPES.join(",")} (default bf16,q8_0,q4_0)
  --engines LIST            who takes part, of model-compose,native,x86-64-v3,node-llama-cpp,onnxruntime-node (default:
                            all that are there)
  --rounds N                measurements of each (default 5)
  --threads N               threads of each (default: the available cores)
  --prompt-tokens N         tokens of the measured prefill (default 512)
  --decode-prompt-tokens N  tokens before the measured decode (default 128)
  --new-tokens N            tokens of the measured decode (default 48)
  --plot FILE.svg           draw the result: decode and prefill by engine and weights
Prints a table; table and JSON are written to DIR/results too.
`;

/** Who can take part: our engine, llama.cpp's builds, packages. */
export const ENGINES = [
  "model-compose",
  "native",
  "x86-64-v3",
  "node-llama-cpp",
  "onnxruntime-node",
] as const;
export type EngineName = (typeof ENGINES)[number];

export interface PeersFlags {
  model: string;
  work: string;
  tokenizer: string | undefined;
  types: readonly ExportType[];
  /** Undefined: all that are there. */
  engines: readonly EngineName[] | undefined;
  rounds: number;
  /** File of a picture; undefined: none is drawn. */
  plot: string | undefined;
  workload: Workload;
}

/**
 * Reads the command line.
 *
 * @returns undefined for --help
 * @throws ModelComposeError "usage" for a wrong command line
 */
export function readPeersFlags(args: string[]): PeersFlags | undefined {
  const values = parse(args);
  if (values.help) {
    return undefined;
  }
  if (values.model === undefined || values.model === "") {
    throw usageError("--model is missing.");
  }
  return {
    model: resolve(values.model),
    work: resolve(values.work),
    tokenizer: values.tokenizer,
    types: list("--types", values.types, EXPORT_TYPES),
    engines: values.engines === undefined ? undefined : list("--engines", values.engines, ENGINES),
    rounds: countFlag("--rounds", values.rounds, { most: MAX_COUNT }),
    plot: plotFlag("--plot", values.plot),
    workload: {
      threads:
        values.threads === undefined
          ? availableCores()
          : countFlag("--threads", values.threads, { most: MAX_COUNT }),
      promptTokens: countFlag("--prompt-tokens", values["prompt-tokens"], { most: MAX_COUNT }),
      decodePromptTokens: countFlag("--decode-prompt-tokens", values["decode-prompt-tokens"], {
        most: MAX_COUNT,
      }),
      newTokens: countFlag("--new-tokens", values["new-tokens"], { most: MAX_COUNT }),
    },
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    options: {
      model: { type: "string" },
      work: { type: "string", default: join(tmpdir(), "peers") },
      tokenizer: { type: "string" },
      types: { type: "string", default: "bf16,q8_0,q4_0" },
      engines: { type: "string" },
      plot: { type: "string" },
      rounds: { type: "string", default: "5" },
      threads: { type: "string" },
      "prompt-tokens": { type: "string", default: "512" },
      "decode-prompt-tokens": { type: "string", default: "128" },
      "new-tokens": { type: "string", default: "48" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}

function list<Name extends string>(flag: string, text: string, names: readonly Name[]): Name[] {
  return [...new Set(text.split(","))].map((part) => {
    const name = names.find((candidate) => candidate === part);
    if (name === undefined) {
      throw usageError(`${flag} takes ${names.join(", ")}, with commas between them; found "${part}".`);
    }
    return name;
  });
}

const MAX_COUNT = 100_000;
