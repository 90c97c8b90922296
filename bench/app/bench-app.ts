/** Measures what the application adds to a model: `npm run bench:app` (see flags.ts). */
import { runCommand } from "../harness/command.ts";
import { thisMachine } from "../harness/machine.ts";
import type { Progress } from "../harness/progress.ts";
import { readAppFlags, USAGE } from "./flags.ts";
import { measureHealth } from "./health.ts";
import { measureHttpOverhead } from "./http-overhead.ts";
import { measureListening } from "./listening.ts";
import { measureQueueMemory } from "./queue-memory.ts";
import { pageBytes } from "./page-bytes.ts";
import { toAppJson, toAppTable, type AppResult } from "./result.ts";

/** Runs the benchmark and returns what to print. */
async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readAppFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const { runs, tokens, threads, queued, starts } = flags;
  const result: AppResult = {
    machine: thisMachine(),
    runs,
    tokens,
    threads,
    starts,
    http: await measureHttpOverhead({ runs, tokens, threads }, progress),
    queue: await measureQueueMemory(queued, progress),
    health: await measureHealth(progress),
    pageBytes: await pageBytes(),
    up: await measureListening(starts, progress),
  };
  return flags.json ? `${JSON.stringify(toAppJson(result), null, 2)}\n` : `${toAppTable(result)}\n`;
}

await runCommand(run);
