/**
 * Prints the test files whose process ended by itself, by a vitest JSON report, when no test has failed: those may be run once
 * more. V8 13.6 ends a process now and then (vitest.config.ts), and vitest does not say which file it was.
 */
import { relative } from "node:path";
import { filesOf, isUnfinished } from "./test-report.ts";

/** More than that is no accident. */
const MOST = 2;

const [path] = process.argv.slice(2);
const files = await filesOf(path);
const unfinished = files.filter(isUnfinished);
if (unfinished.length <= MOST && files.every(({ status }) => status !== "failed")) {
  process.stdout.write(unfinished.map(({ name }) => `${relative(process.cwd(), name)}\n`).join(""));
}
