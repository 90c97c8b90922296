/**
 * Bundles the program where its sources are newer than dist/, so that tests which start it in processes of its own start what
 * users start, and in a third of the time; what V8 makes of it is kept for the next of these processes. Runs once before all tests.
 */
import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { bundle } from "../../scripts/bundle.ts";

const root = join(import.meta.dirname, "../..");

export default async function setup(project: TestProject): Promise<void> {
  process.env.NODE_COMPILE_CACHE ??= join(root, "build/compile-cache");
  await bundleWhereStale();
  // Who watches the tests has other sources now.
  project.onTestsRerun(bundleWhereStale);
}

async function bundleWhereStale(): Promise<void> {
  const built = statSync(join(root, "dist/cli.js"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isNewer = (path: string): boolean => statSync(join(root, path)).mtimeMs > built;
  const sources = [
    ...globSync("src/**/*.{ts,css,html,svg}", { cwd: root }),
    ...globSync("bench/**/*.ts", { cwd: root }),
  ];
  if (sources.some((path) => !path.endsWith(".test.ts") && isNewer(path))) {
    await bundle();
  }
}
