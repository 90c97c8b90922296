/** The command line of the application's benchmark. */
import { parseArgs } from "node:util";
import { errorMessage, ModelComposeError } from "../../src/base/errors.ts";
import { availableCores } from "../../src/runtime/platform/system.ts";

export const USAGE = `Usage: bench:app [flags]
What the application adds to a model, measured with the bundled one:
  --runs N     pairs of a library call and the same run over HTTP (default 300)
  --tokens N   new tokens of each (default 32)
  --threads N  of the model (default 1: it is too small for more, and the other cores are the server's)
  --queued N   runs that wait at the same time, at most 1024 (default 1000)
  --starts N   starts of "up" (default 5)
  --json       print one JSON object
`;

/** The options of the command line, checked. */
export interface AppFlags {
  runs: number;
  tokens: number;
  threads: number;
  queued: number;
  starts: number;
  json: boolean;
}

/** How many runs a server lets wait unless its file says otherwise (`controller.max_queue_count`). */
const MAX_QUEUED = 1024;
/** The most new tokens: with the prompt they are within the bundled model's context. */
const MAX_TOKENS = 512;
const MAX_REPEATS = 100_000;

/**
 * Reads the command line.
 *
 * @returns undefined for --help
 * @throws ModelComposeError "usage" for a wrong command line
 */
export function readAppFlags(args: string[]): AppFlags | undefined {
  const values = parse(args);
  if (values.help) {
    return undefined;
  }
  return {
    runs: count("--runs", values.runs, MAX_REPEATS),
    tokens: count("--tokens", values.tokens, MAX_TOKENS),
    threads: count("--threads", values.threads, availableCores()),
    queued: count("--queued", values.queued, MAX_QUEUED),
    starts: count("--starts", values.starts, MAX_REPEATS),
    json: values.json,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        runs: { type: "string", default: "300" },
        tokens: { type: "string", default: "32" },
        threads: { type: "string", default: "1" },
        queued: { type: "string", default: "1000" },
        starts: { type: "string", default: "5" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw usageError(errorMessage(error));
  }
}

function count(flag: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) {
    return value;
  }
  throw usageError(`${flag} must be an integer from 1 to ${most}; found "${text}".`);
}

function usageError(message: string): ModelComposeError {
  return new ModelComposeError("usage", message, { remedy: "See --help." });
}
