/**
 * Mutation testing: changes the code of a room in one place at a time and looks whether a test notices (Stryker).
 *
 *     npm run test:mutation -- sampling                         one room
 *     npm run test:mutation -- src/server/sse.ts                one file
 *     npm run test:mutation -- sampling --sample 60 --seed 1    60 changes of a room, drawn by the seed (without one: 0)
 *
 * Each passes where at least 90 of 100 changes are noticed; build/mutation/ has the report. Rooms take from minutes to hours,
 * so this is no part of `npm test`. A sample says in minutes where a room stands: the share of its changes that were noticed, the
 * interval in which the room's own share lies, and each change that was not.
 */
import { existsSync } from "node:fs";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import { Stryker } from "@stryker-mutator/core";
import { ROOMS, roomsOf, TESTS_VARIABLE } from "./mutation-rooms.ts";
import { SAMPLE_CHECKER, SAMPLE_OPTION, type Sample, wilsonInterval } from "./mutation-sample.ts";

const LEAST_SCORE = 90;

/** The files and folders that a name of the command line stands for. */
function placesOf(name: string): readonly string[] {
  return Object.hasOwn(ROOMS, name) ? ROOMS[name].places : [name.replace(/:\d+-\d+$/, "").replace(/\/$/, "")];
}

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}

function wholeNumber(name: string, text: string, least: number): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) < least) {
    refuse(`Expected a whole number from ${least} for --${name}; found "${text}".`);
  }
  return Number(text);
}

/** Rooms, and the sample that is to be drawn of each; `undefined` where every change is to be tried. */
function readArguments(): { wanted: readonly string[]; sample: Sample | undefined } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { sample: { type: "string" }, seed: { type: "string" } },
    });
    if (values.sample === undefined) {
      if (values.seed !== undefined) {
        refuse("--seed draws a sample: it needs --sample N beside it.");
      }
      return { wanted: positionals, sample: undefined };
    }
    const count = wholeNumber("sample", values.sample, 1);
    return { wanted: positionals, sample: { count, seed: wholeNumber("seed", values.seed ?? "0", 0) } };
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const { wanted, sample } = readArguments();
const missing = wanted.flatMap(placesOf).filter((place) => !existsSync(place));
if (wanted.length === 0 || missing.length > 0) {
  const found = wanted.length === 0 ? "none" : missing.map((place) => `"${place}"`).join(", ");
  refuse(
    `Expected rooms (${Object.keys(ROOMS).join(", ")}), files or folders of the project; found ${found}.`,
  );
}
if (sample !== undefined && wanted.length > 1) {
  refuse(`A sample is drawn of one room, file or folder; found ${wanted.length}. Call it once for each.`);
}
const mutate = wanted.flatMap((name) =>
  name.includes(".ts")
    ? [name]
    : [
        ...placesOf(name).flatMap((folder) => [
          `${folder}/**/*.ts`,
          `!${folder}/**/*.test.ts`,
          `!${folder}/**/*.test-d.ts`,
          `!${folder}/**/*.d.ts`,
        ]),
        ...roomsOf(name).flatMap(({ apart = [] }) => apart.map((file) => `!${file}`)),
      ],
);
// Other tests would only make each change take longer.
process.env[TESTS_VARIABLE] = JSON.stringify(wanted.flatMap(roomsOf).flatMap(({ tests }) => tests));
const report = `build/mutation/${wanted.join(" ").replaceAll(/[/: ]/g, "-").slice(0, 100)}`;

const options: ConstructorParameters<typeof Stryker>[0] = {
  mutate,
  testRunner: "vitest",
  plugins: [
    "@stryker-mutator/vitest-runner",
    ...(sample === undefined ? [] : ["./scripts/mutation-sample.ts"]),
  ],
  ...(sample === undefined ? {} : { checkers: [SAMPLE_CHECKER], [SAMPLE_OPTION]: sample }),
  // Threads have no folder of their own to work in, which commands have.
  vitest: { configFile: "vitest.mutation.config.ts", pool: "forks" },
  coverageAnalysis: "perTest",
  // Imports of modules are run once for all tests of a file: what only runs then cannot be told apart.
  ignoreStatic: true,
  mutator: {
    // What a message says is for people; that it names the right thing is asserted where it matters.
    excludedMutations: ["StringLiteral"],
  },
  concurrency: 2,
  // A sample has no time to lose, but a wrong death costs it more: on a busy machine a good test takes long too.
  timeoutMS: sample === undefined ? 10_000 : 60_000,
  // The tests run once before any change, while what each of them runs is counted.
  dryRunTimeoutMinutes: 30,
  tempDirName: "build/stryker",
  // Of a sample only what was drawn is said, below; the other reports are of all changes.
  reporters:
    sample === undefined ? ["clear-text", "progress", "html", "json"] : ["progress-append-only", "json"],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  htmlReporter: { fileName: `${report}.html` },
  jsonReporter: { fileName: `${report}.json` },
  // A room has a score of its own, below: Stryker's is of all that were named.
  thresholds: { high: 95, low: LEAST_SCORE, break: null },
  allowConsoleColors: false,
  disableTypeChecks: true,
};
const results = await new Stryker(options).runMutationTest();
for (const name of wanted) {
  const own = results.filter(({ fileName }) =>
    placesOf(name).some((place) => `${relative(process.cwd(), fileName)}/`.startsWith(`${place}/`)),
  );
  const count = (...statuses: string[]): number =>
    own.filter(({ status }) => statuses.includes(status)).length;
  const noticed = count("Killed", "Timeout");
  const all = noticed + count("Survived", "NoCoverage");
  // Where nothing could be changed, nothing was tested.
  const isEnough = all > 0 && 100 * noticed >= LEAST_SCORE * all;
  const score = all === 0 ? "nothing to change" : `${((100 * noticed) / all).toFixed(1)} %`;
  process.stdout.write(`${name}: ${score} (${noticed} of ${all} changes noticed)\n`);
  process.exitCode = isEnough && process.exitCode !== 1 ? 0 : 1;
  if (sample === undefined) {
    continue;
  }
  const [low, high] = wilsonInterval(noticed, all).map((share) => (100 * share).toFixed(1));
  process.stdout.write(
    `${name}: ${low} to ${high} % of all its changes are noticed, as 95 of 100 samples say\n`,
  );
  // A change that made a test wait too long counts as noticed; on a machine that is busy with something else it may not be.
  const late = own.filter(({ status }) => status === "Timeout");
  const living = own.filter(({ status }) => status === "Survived" || status === "NoCoverage");
  for (const { status, fileName, location, mutatorName, replacement } of [...living, ...late]) {
    const { line, column } = location.start;
    const what = { Survived: "not noticed", NoCoverage: "run by no test", Timeout: "took too long" }[
      status as string
    ];
    process.stdout.write(`${relative(process.cwd(), fileName)}:${line}:${column} ${what}: ${mutatorName}\n`);
    process.stdout.write(`    ${(replacement ?? "").replaceAll(/\s+/g, " ").slice(0, 200)}\n`);
  }
}
