/** The command line of the benchmark of quality. */
import type { QuantizedFormat } from "../../src/kernels/format.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";
import { countFlag, parseFlags, usageError } from "../harness/usage.ts";
import { plotFlag } from "../plot/write-plot.ts";

export const USAGE = `Usage: bench:quality --model DIR [flags]
How far a model with int8 and int4 weights is from the same one with its weights as they are stored.
  --model DIR     name or folder of the model
  --text FILE     the text that it reads (default: a book in the public domain, fetched once into the cache folder)
  --tokens N      tokens of the text (default 16384)
  --window N      tokens of a sequence (default 512)
  --quantization KIND
                  int8 or int4 alone (default: both)
  --against DIR   a folder with other weights of the same model, compared as they are stored; may be given again
  --threads N     threads (default: the available cores)
  --json          print one JSON object
  --plot FILE.svg draw the result: what is lost over bits a weight
The logits of the stored weights are kept in a temporary file meanwhile: 4 bytes for each token and word of the vocabulary.
`;

export interface QualityFlags {
  readonly model: string;
  /** File of the text; undefined: the one that is fetched. */
  readonly text: string | undefined;
  readonly tokens: number;
  readonly window: number;
  /** What is measured; undefined: all. */
  readonly quantization: QuantizedFormat | undefined;
  readonly against: readonly string[];
  readonly threads: number;
  readonly json: boolean;
  /** File of a picture; undefined: none is drawn. */
  readonly plot: string | undefined;
}

/** Reads the command line; undefined asks for help. @throws ModelComposeError "usage" */
export function readQualityFlags(args: string[]): QualityFlags | undefined {
  const values = parse(args);
  if (values.help) {
    return undefined;
  }
  if (values.model === undefined || values.model === "") {
    throw usageError("--model is missing.");
  }
  return {
    model: values.model,
    text: values.text,
    tokens: countFlag("--tokens", values.tokens, { least: 2 }) ?? 16_384,
    window: countFlag("--window", values.window, { least: 2 }) ?? 512,
    quantization: quantizationOf(values.quantization),
    against: values.against,
    threads: countFlag("--threads", values.threads) ?? availableCores(),
    json: values.json,
    plot: plotFlag("--plot", values.plot),
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    options: {
      model: { type: "string" },
      text: { type: "string" },
      tokens: { type: "string" },
      window: { type: "string" },
      quantization: { type: "string" },
      against: { type: "string", multiple: true, default: [] },
      threads: { type: "string" },
      json: { type: "boolean", default: false },
      plot: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}

function quantizationOf(text: string | undefined): QuantizedFormat | undefined {
  const found = (["int8", "int4"] as const).find((name) => name === text);
  if (text !== undefined && found === undefined) {
    throw usageError(`--quantization must be int8 or int4; found "${text}".`);
  }
  return found;
}
