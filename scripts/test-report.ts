/** vitest's JSON report, as far as it is looked at. */
import { readFile } from "node:fs/promises";

export interface FileReport {
  /** Absolute path of the test file. */
  name: string;
  status: string;
  assertionResults: { status: string }[];
}

interface Report {
  testResults: FileReport[];
}

/** The files of a report. */
export async function filesOf(path: string): Promise<FileReport[]> {
  return (JSON.parse(await readFile(path, "utf8")) as Report).testResults;
}

/** Whether tests of a file had not ended when its process did. Tests that are skipped have another status. */
export function isUnfinished({ assertionResults }: FileReport): boolean {
  return assertionResults.some(({ status }) => status === "pending");
}
