/** Measures our engine and others in one run: `npm run bench:peers -- --model DIR` (see runner/flags.ts, README.md). */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { basename, join } from "node:path";
import { runCommand } from "../harness/command.ts";
import { thisMachine } from "../harness/machine.ts";
import type { Progress } from "../harness/progress.ts";
import { nameOf, type Contender, type Measurement, type Workload } from "./runner/contender.ts";
import { findContenders } from "./runner/find-contenders.ts";
import { readPeersFlags, USAGE } from "./runner/flags.ts";
import { buildOptions } from "./runner/llama-bench.ts";
import { toJson, toMarkdown, type PeersResult, type Rounds } from "./runner/result.ts";
import { orderOfRound } from "./runner/schedule.ts";

async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readPeersFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const { model, work, rounds, workload } = flags;
  const found = await findContenders(flags, progress);
  const result: PeersResult = {
    model: basename(model),
    machine: thisMachine(),
    workload,
    rounds: await measureInTurn(found.contenders, rounds, workload, progress),
    builds: Object.fromEntries(
      await Promise.all(found.builds.map(async (build) => [build, await buildOptions(work, build)] as const)),
    ),
    packages: Object.fromEntries(
      await Promise.all(found.packages.map(async (name) => [name, await versionOf(name)] as const)),
    ),
  };
  const table = toMarkdown(result);
  const folder = join(work, "results");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${result.model}.md`), table);
  await writeFile(join(folder, `${result.model}.json`), `${JSON.stringify(toJson(result), null, 2)}\n`);
  return table;
}

async function measureInTurn(
  contenders: readonly Contender[],
  rounds: number,
  workload: Workload,
  progress: Progress,
): Promise<Rounds[]> {
  const results = new Map(
    contenders.map((contender) => [
      contender,
      { contender, measurements: [] as Measurement[], loadBefore: [] as number[] },
    ]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const contender of orderOfRound(contenders, round)) {
      progress.phase(`Round ${round + 1} of ${rounds}: ${nameOf(contender)}`);
      const entry = results.get(contender);
      entry?.loadBefore.push(loadavg()[0] ?? 0);
      entry?.measurements.push(await contender.measure(workload));
    }
  }
  return [...results.values()];
}

async function versionOf(name: string): Promise<string> {
  const path = join(import.meta.dirname, "node_modules", name, "package.json");
  return (JSON.parse(await readFile(path, "utf8")) as { version: string }).version;
}

await runCommand(run);
