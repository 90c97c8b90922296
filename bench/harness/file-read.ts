/** How fast this machine reads the weights from their files, without doing anything with them. */
import { once } from "node:events";
import { errorMessage, ModelComposeError } from "../../src/base/errors.ts";
import { startWorker, workerUrl, type Worker } from "../../src/runtime/platform/workers.ts";
import { shareOf, type Extent } from "./extents.ts";

/**
 * Seconds in which `threads` threads read the extents into fresh memory, by positioned reads of 8 MiB. The clock
 * starts when all of them are ready and stops when the last is done; their memory is free again when the promise
 * resolves.
 *
 * @throws ModelComposeError "device" with the worker's message (a file that is gone or too short, no memory)
 */
export async function readFiles(extents: readonly Extent[], threads: number): Promise<number> {
  const url = workerUrl(import.meta.url, { source: "./read-worker.ts", bundled: "bench-read-worker.js" });
  const workers = Array.from({ length: threads }, (_, index) =>
    startWorker(url, { name: `bench read ${index}`, data: shareOf(extents, index, threads) }),
  );
  try {
    await all(workers);
    const finished = all(workers);
    const start = performance.now();
    for (const worker of workers) {
      worker.postMessage("go");
    }
    await finished;
    return (performance.now() - start) / 1000;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Resolves when every worker has sent its next message. */
async function all(workers: readonly Worker[]): Promise<void> {
  try {
    await Promise.all(workers.map((worker) => once(worker, "message")));
  } catch (error) {
    // A worker's error arrives as a plain Error.
    throw new ModelComposeError("device", `The weight files cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
