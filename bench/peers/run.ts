/** Measures our engine and others in one run: `npm run bench:peers -- --model DIR` (see runner/flags.ts, README.md). */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { basename, join } from "node:path";
import { runCommand } from "../harness/command.ts";
import { thisMachine } from "../harness/machine.ts";
import type { Progress } from "../harness/progress.ts";
import { preparePlot } from "../plot/write-plot.ts";
import { nameOf, type Contender, type Measurement } from "./runner/contender.ts";
import { findContenders } from "./runner/find-contenders.ts";
import { readPeersFlags, USAGE } from "./runner/flags.ts";
import { buildOptions } from "./runner/llama-bench.ts";
import { toJson, toMarkdown, type PeersResult, type Rounds } from "./runner/result.ts";
import { byBits, orderOfRound } from "./runner/schedule.ts";

async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readPeersFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const { model, work, rounds, workload } = flags;
  const draw = await preparePlot(flags.plot);
  const found = await findContenders(flags, progress);
  const contenders = byBits(found.contenders);
  const measured = new Map(
    contenders.map((contender): [Contender, Entry] => [
      contender,
      { contender, measurements: [], loadBefore: [] },
    ]),
  );
  const result: PeersResult = {
    model: basename(model),
    machine: thisMachine(),
    workload,
    rounds: [...measured.values()],
    builds: await valuesOf(found.builds, (build) => buildOptions(work, build)),
    packages: await valuesOf(found.packages, versionOf),
  };
  for (let round = 0; round < rounds; round++) {
    for (const contender of orderOfRound(contenders, round)) {
      progress.phase(`Round ${round + 1} of ${rounds}: ${nameOf(contender)}`);
      const entry = measured.get(contender);
      entry?.loadBefore.push(loadavg()[0] ?? 0);
      entry?.measurements.push(await contender.measure(workload));
    }
    // A run takes an hour: what breaks a round leaves those before it.
    await writeResult(result, join(work, "results"));
  }
  await draw([{ name: "The result", result: toJson(result) }]);
  return toMarkdown(result);
}

/** A contender's rounds so far. */
interface Entry extends Rounds {
  measurements: Measurement[];
  loadBefore: number[];
}

async function writeResult(result: PeersResult, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${result.model}.md`), toMarkdown(result));
  await writeFile(join(folder, `${result.model}.json`), `${JSON.stringify(toJson(result), null, 2)}\n`);
}

async function valuesOf<Name extends string, Value>(
  names: readonly Name[],
  valueOf: (name: Name) => Promise<Value>,
): Promise<Record<string, Value>> {
  const entries = await Promise.all(names.map(async (name) => [name, await valueOf(name)] as const));
  return Object.fromEntries(entries);
}

async function versionOf(name: string): Promise<string> {
  const path = join(import.meta.dirname, "node_modules", name, "package.json");
  return (JSON.parse(await readFile(path, "utf8")) as { version: string }).version;
}

await runCommand(run);
