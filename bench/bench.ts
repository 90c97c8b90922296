/** Measures a model on this machine: `npm run bench -- --model DIR` (see harness/flags.ts). */
import { ModelComposeError } from "../src/runtime/errors.ts";
import { readFlags, USAGE } from "./harness/flags.ts";
import { Progress } from "./harness/progress.ts";
import { toJson } from "./harness/result.ts";
import { runBenchmark } from "./harness/run-benchmark.ts";
import { toTable } from "./harness/table.ts";

async function main(): Promise<void> {
  const progress = new Progress();
  try {
    const flags = readFlags(process.argv.slice(2));
    if (flags === "help") {
      process.stdout.write(USAGE);
      return;
    }
    const result = await runBenchmark(flags, progress);
    progress.clear();
    process.stdout.write(`${flags.json ? JSON.stringify(toJson(result), null, 2) : toTable(result)}\n`);
  } catch (error) {
    progress.clear();
    if (!(error instanceof ModelComposeError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.code === "usage" ? 2 : 1;
  }
}

await main();
