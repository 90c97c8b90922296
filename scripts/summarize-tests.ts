/**
 * Prints the one-line summary of vitest JSON reports: `N passed, N failed, N skipped`. What a later report says of a file goes
 * before what an earlier one says.
 */
import { existsSync } from "node:fs";
import { filesOf, isUnfinished, type FileReport } from "./test-report.ts";

const files = new Map<string, FileReport>();
for (const path of process.argv.slice(2).filter(existsSync)) {
  for (const file of await filesOf(path)) {
    files.set(file.name, file);
  }
}
const reports = [...files.values()];
const count = (status: string): number =>
  reports.reduce(
    (sum, { assertionResults }) => sum + assertionResults.filter((test) => test.status === status).length,
    0,
  );
// A file that fails before its first test, or whose process ends before its last, counts as one failure.
const broken = reports.filter(
  (file) => (file.status === "failed" && file.assertionResults.length === 0) || isUnfinished(file),
).length;
const failed = count("failed") + broken;
const skipped = count("skipped") + count("todo") + count("disabled");
process.stdout.write(`${count("passed")} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed > 0 ? 1 : 0;
