/** Draws results that benchmarks have printed: `npm run bench:plot -- --out FILE.svg RESULT.json …`. */
import { readFile } from "node:fs/promises";
import { errorMessage, ModelComposeError } from "../../src/base/errors.ts";
import { runCommand } from "../harness/command.ts";
import { parseFlags, usageError } from "../harness/usage.ts";
import type { NamedResult } from "./read-results.ts";
import { plotFlag, preparePlot } from "./write-plot.ts";

const USAGE = `Usage: bench:plot --out FILE.svg RESULT.json …
Draws what bench, bench:serve, bench:quality and bench:peers have printed with --json, results of one of them beside each other:
speeds by engine and weights, over the length of prompts where results have several, over the number of texts at once, and
quality over bits a weight.
  --out FILE.svg  the picture
`;

async function run(args: string[]): Promise<string> {
  const { values, positionals } = parseFlags({
    args,
    allowPositionals: true,
    options: { out: { type: "string" }, help: { type: "boolean", short: "h", default: false } },
  });
  if (values.help === true) {
    return USAGE;
  }
  const out = plotFlag("--out", values.out);
  if (out === undefined || positionals.length === 0) {
    throw usageError(out === undefined ? "--out is missing." : "There is no result to draw.");
  }
  const draw = await preparePlot(out);
  await draw(await Promise.all(positionals.map(readResult)));
  return `${out}\n`;
}

async function readResult(file: string): Promise<NamedResult> {
  try {
    return { name: `"${file}"`, result: JSON.parse(await readFile(file, "utf8")) as unknown };
  } catch (error) {
    throw new ModelComposeError(
      "invalid-input",
      `"${file}" cannot be read as JSON: ${errorMessage(error)}.`,
      {
        remedy: "Name a file that a benchmark has written with --json.",
        cause: error,
      },
    );
  }
}

await runCommand(run);
