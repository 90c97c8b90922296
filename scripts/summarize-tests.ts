/** Prints the one-line summary of a vitest JSON report: `N passed, N failed, N skipped`. */
import { readFile } from "node:fs/promises";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numFailedTestSuites: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

const [path] = process.argv.slice(2);
const report = JSON.parse(await readFile(path, "utf8")) as Report;
// A file that fails before its first test counts as one failure.
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
).length;
const failed = report.numFailedTests + brokenFiles;
const skipped = report.numPendingTests + report.numTodoTests;
process.stdout.write(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
