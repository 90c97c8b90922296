/** The command line of the benchmark of many texts at once. */
import { availableCores } from "../../src/runtime/platform/system.ts";
import { QUANTIZATIONS, type Quantization } from "../../src/runtime/held-formats.ts";
import { countFlag, parseFlags, usageError } from "../harness/usage.ts";
import { plotFlag } from "../plot/write-plot.ts";

export const USAGE = `Usage: bench:serve --model MODEL [flags]
How a model answers many at once, on the CPU:
  --model MODEL        a folder or a repository
  --texts LIST         numbers of texts at once (default 1,2,4,8,16)
  --prompt N           tokens of each prompt (default 64)
  --tokens N           new tokens of each text (default 64)
  --long N             tokens of a prompt that arrives beside four texts (default 4096, 0: none)
  --turns N            turns of a chat (default 5, 0: none)
  --threads N          (default: the available cores)
  --quantization NAME  ${QUANTIZATIONS.join(", ")} (default none)
  --repeat N           (default 3)
  --json               print one JSON object
  --plot FILE.svg      draw the result: tokens a second over texts at once
`;

/** The options of the command line, checked. */
export interface ServeFlags {
  model: string;
  texts: readonly number[];
  prompt: number;
  tokens: number;
  long: number;
  turns: number;
  threads: number;
  quantization: Quantization;
  repeat: number;
  json: boolean;
  /** File of a picture; undefined: none is drawn. */
  plot: string | undefined;
}

const MOST_TEXTS = 64;

/**
 * Reads the command line.
 *
 * @returns undefined for --help
 * @throws ModelComposeError "usage" for a wrong command line
 */
export function readServeFlags(args: string[]): ServeFlags | undefined {
  const { values } = parse(args);
  if (values.help) {
    return undefined;
  }
  if (values.model === undefined) {
    throw usageError("--model is missing: a folder or a repository.");
  }
  const quantization = QUANTIZATIONS.find((name) => name === values.quantization);
  if (quantization === undefined) {
    throw usageError(
      `--quantization must be one of ${QUANTIZATIONS.join(", ")}; found "${values.quantization}".`,
    );
  }
  return {
    model: values.model,
    texts: values.texts.split(",").map((text) => countFlag("--texts", text, { most: MOST_TEXTS })),
    prompt: countFlag("--prompt", values.prompt),
    tokens: countFlag("--tokens", values.tokens, { least: 2 }),
    long: countFlag("--long", values.long, { least: 0 }),
    turns: countFlag("--turns", values.turns, { least: 0, most: 100 }),
    threads: countFlag("--threads", values.threads ?? String(availableCores()), { most: 1024 }),
    quantization,
    repeat: countFlag("--repeat", values.repeat),
    json: values.json,
    plot: plotFlag("--plot", values.plot),
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    options: {
      model: { type: "string" },
      texts: { type: "string", default: "1,2,4,8,16" },
      prompt: { type: "string", default: "64" },
      tokens: { type: "string", default: "64" },
      long: { type: "string", default: "4096" },
      turns: { type: "string", default: "5" },
      threads: { type: "string" },
      quantization: { type: "string", default: "none" },
      repeat: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
      plot: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
}
