/**
 * Starts the worker threads of tests from dist/, which built-program.ts keeps up to date: what users run, and without the types
 * that Node would strip of every module in every thread, which takes it longer than most tests of a small model. Runs in every
 * process of tests, before their modules.
 */
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import workerThreads, { type WorkerOptions } from "node:worker_threads";
import { BUNDLE_ENTRIES } from "../../scripts/bundle-entries.ts";

const root = join(import.meta.dirname, "../..");
const fileUrl = (path: string): string => pathToFileURL(join(root, path)).href;
const BUNDLED: ReadonlyMap<string, URL> = new Map(
  Object.entries(BUNDLE_ENTRIES).map(([name, source]) => [
    fileUrl(source),
    new URL(fileUrl(`dist/${name}.js`)),
  ]),
);

const { Worker } = workerThreads;

class BundledWorker extends Worker {
  constructor(entry: string | URL, options?: WorkerOptions) {
    super(BUNDLED.get(String(entry)) ?? entry, options);
  }
}

// Where test files share a process, this module runs once a file.
if (Worker.name !== BundledWorker.name) {
  Object.assign(workerThreads, { Worker: BundledWorker });
  syncBuiltinESMExports();
}
