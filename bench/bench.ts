/** Measures a model on this machine: `npm run bench -- --model DIR` (see harness/flags.ts). */
import { listAdapters, listingText } from "../src/runtime/devices.ts";
import { runCommand } from "./harness/command.ts";
import { encodeJson, encodeTable, measureEncodeCost } from "./harness/encode-cost.ts";
import { readFlags, USAGE } from "./harness/flags.ts";
import type { Progress } from "./harness/progress.ts";
import { toJson } from "./harness/result.ts";
import { runBenchmark } from "./harness/run-benchmark.ts";
import { toTable } from "./harness/table.ts";
import { preparePlot } from "./plot/write-plot.ts";

/** Does what the command line asks for and returns what to print. */
async function run(args: string[], progress: Progress): Promise<string> {
  const command = readFlags(args);
  switch (command.kind) {
    case "help":
      return USAGE;
    case "list-adapters":
      return `${listingText(await listAdapters())}\n`;
    case "encode": {
      const result = await measureEncodeCost(command.flags, progress);
      return command.flags.json ? json(encodeJson(result)) : `${encodeTable(result)}\n`;
    }
    case "model": {
      const draw = await preparePlot(command.flags.plot);
      const result = await runBenchmark(command.flags, progress);
      await draw([{ name: "The result", result: toJson(result) }]);
      if (result.gpu?.check?.passed === false) {
        progress.notice("The GPU's results are not the CPU's (check_…): the timings mean nothing.");
        process.exitCode = 1;
      }
      return command.flags.json ? json(toJson(result)) : `${toTable(result)}\n`;
    }
  }
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

await runCommand(run);
