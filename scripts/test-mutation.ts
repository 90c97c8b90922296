/**
 * Mutation testing: changes the code of a room in one place at a time and looks whether a test notices (Stryker).
 *
 *     npm run test:mutation -- sampling             one room
 *     npm run test:mutation -- src/server/sse.ts    one file
 *
 * Each passes where at least 90 of 100 changes are noticed; build/mutation/ has the report. Rooms take from minutes to hours,
 * so this is no part of `npm test`.
 */
import { existsSync } from "node:fs";
import { relative } from "node:path";
import { Stryker } from "@stryker-mutator/core";

/** The rooms whose logic is all in TypeScript; kernels and devices have tests of numbers instead. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  hub: ["src/models/hub"],
  cli: ["src/cli"],
  server: ["src/server", "src/registry"],
  compose: ["src/compose"],
  sampling: ["src/runtime/sampling", "src/runtime/generation"],
  checkpoint: ["src/runtime/checkpoint"],
  config: ["src/models/config"],
};

const LEAST_SCORE = 90;

/** The files and folders that a name of the command line stands for. */
function placesOf(name: string): readonly string[] {
  return Object.hasOwn(ROOMS, name) ? ROOMS[name] : [name.replace(/:\d+-\d+$/, "").replace(/\/$/, "")];
}

const wanted = process.argv.slice(2);
const missing = wanted.flatMap(placesOf).filter((place) => !existsSync(place));
if (wanted.length === 0 || missing.length > 0) {
  const found = wanted.length === 0 ? "none" : missing.map((place) => `"${place}"`).join(", ");
  process.stderr.write(
    `Expected rooms (${Object.keys(ROOMS).join(", ")}), files or folders of the project; found ${found}.\n`,
  );
  process.exit(2);
}
const mutate = wanted.flatMap((name) =>
  name.includes(".ts")
    ? [name]
    : placesOf(name).flatMap((folder) => [
        `${folder}/**/*.ts`,
        `!${folder}/**/*.test.ts`,
        `!${folder}/**/*.test-d.ts`,
        `!${folder}/**/*.d.ts`,
      ]),
);
const report = `build/mutation/${wanted.join(" ").replaceAll(/[/: ]/g, "-").slice(0, 100)}`;

const options: ConstructorParameters<typeof Stryker>[0] = {
  mutate,
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "vitest.mutation.config.ts" },
  coverageAnalysis: "perTest",
  // Imports of modules are run once for all tests of a file: what only runs then cannot be told apart.
  ignoreStatic: true,
  mutator: {
    // What a message says is for people; that it names the right thing is asserted where it matters.
    excludedMutations: ["StringLiteral"],
  },
  concurrency: 2,
  timeoutMS: 10_000,
  tempDirName: "build/stryker",
  reporters: ["clear-text", "progress", "html", "json"],
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
}
