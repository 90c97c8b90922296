/**
 * Mutation testing: changes the code of a room in one place at a time and looks whether a test notices (Stryker).
 *
 *     npm run test:mutation -- sampling             one room
 *     npm run test:mutation -- src/server/sse.ts    one file
 *
 * A room passes where at least 90 of 100 changes are noticed; build/mutation/ has the report. Rooms take from minutes to hours,
 * so this is no part of `npm test`.
 */
import { Stryker } from "@stryker-mutator/core";

/** The rooms whose logic is all in TypeScript; kernels and devices have tests of numbers instead. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  hub: ["src/models/hub"],
  cli: ["src/cli"],
  server: ["src/server", "src/registry"],
  compose: ["src/compose"],
  sampling: ["src/runtime/sampling", "src/runtime/generation"],
  checkpoint: ["src/runtime/checkpoint"],
  config: ["src/models/config", "src/models/families"],
};

const LEAST_SCORE = 90;

const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  process.stderr.write(`Name rooms (${Object.keys(ROOMS).join(", ")}) or files.\n`);
  process.exit(2);
}
const mutate = wanted.flatMap((name) => {
  if (/\.ts(?::\d+-\d+)?$/.test(name)) {
    return [name];
  }
  const folders = Object.hasOwn(ROOMS, name) ? ROOMS[name] : [name.replace(/\/$/, "")];
  return folders.flatMap((folder) => [
    `${folder}/**/*.ts`,
    `!${folder}/**/*.test.ts`,
    `!${folder}/**/*.test-d.ts`,
    `!${folder}/**/*.d.ts`,
  ]);
});

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
  htmlReporter: { fileName: `build/mutation/${wanted[0].replaceAll("/", "-")}.html` },
  jsonReporter: { fileName: `build/mutation/${wanted[0].replaceAll("/", "-")}.json` },
  thresholds: { high: 95, low: LEAST_SCORE, break: LEAST_SCORE },
  allowConsoleColors: false,
  disableTypeChecks: true,
};
const results = await new Stryker(options).runMutationTest();
const detected = results.filter(({ status }) => status === "Killed" || status === "Timeout").length;
const valid =
  detected + results.filter(({ status }) => status === "Survived" || status === "NoCoverage").length;
process.exitCode = valid === 0 || (100 * detected) / valid >= LEAST_SCORE ? 0 : 1;
