/** The command line of the application's benchmark. */
import { availableCores } from "../../src/runtime/platform/system.ts";
import { countFlag, parseFlags } from "../harness/usage.ts";

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
    runs: countFlag("--runs", values.runs, { most: MAX_REPEATS }),
    tokens: countFlag("--tokens", values.tokens, { most: MAX_TOKENS }),
    threads: countFlag("--threads", values.threads, { most: availableCores() }),
    queued: countFlag("--queued", values.queued, { most: MAX_QUEUED }),
    starts: countFlag("--starts", values.starts, { most: MAX_REPEATS }),
    json: values.json,
  };
}

function parse(args: string[]) {
  return parseFlags({
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
}
