/** Measures what int8 and int4 weights cost a model: `npm run bench:quality -- --model DIR` (see flags.ts). */
import { runCommand } from "../harness/command.ts";
import type { Progress } from "../harness/progress.ts";
import { preparePlot } from "../plot/write-plot.ts";
import { readQualityFlags, USAGE } from "./flags.ts";
import { measureQuality } from "./run.ts";
import { toQualityJson, toQualityTable } from "./table.ts";

async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readQualityFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const draw = await preparePlot(flags.plot);
  const result = await measureQuality(flags, progress);
  await draw([{ name: "The result", result: toQualityJson(result) }]);
  return flags.json ? `${JSON.stringify(toQualityJson(result), null, 2)}\n` : `${toQualityTable(result)}\n`;
}

await runCommand(run);
