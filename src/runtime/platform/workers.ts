/**
 * The one place that knows worker threads. A worker's code is an entry module of its own: TypeScript source when
 * the package runs from its sources (Node strips the types), a file of dist/ when it is bundled.
 */
import {
  BroadcastChannel,
  isMainThread,
  parentPort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from "node:worker_threads";
import type { MessagePort, ResourceLimits, Transferable } from "node:worker_threads";
import { ModelComposeError } from "../../base/errors.ts";

export { BroadcastChannel };
export type { MessagePort, Worker };

export interface WorkerOptions {
  /** Name of the thread, which debuggers and process lists show. */
  name: string;
  /** Data that is cloned into the worker, where `workerScope().data` has it. */
  data?: unknown;
  /** What of `data` moves instead of being copied. */
  transfer?: readonly Transferable[];
  /** Heap and stack bounds of the worker's V8 isolate. */
  resourceLimits?: ResourceLimits;
}

/**
 * The URL of a worker's entry module.
 *
 * @param importMetaUrl `import.meta.url` of the calling module. Ends in ".ts": the package runs from its sources.
 * @param entry `source` is relative to the calling module, for example "./tokenizer-worker.ts"; `bundled` is the
 *   name in dist/ (which is flat: every bundle and chunk lies beside it), for example "tokenizer-worker.js".
 */
export function workerUrl(importMetaUrl: string, entry: { source: string; bundled: string }): URL {
  return new URL(importMetaUrl.endsWith(".ts") ? entry.source : `./${entry.bundled}`, importMetaUrl);
}

/**
 * Starts a worker thread. It keeps the process alive until it ends, is terminated or is unref'ed: that is the
 * caller's decision. Listen to "error" and "exit": a worker that dies sends no message.
 */
export function startWorker(url: URL, options: WorkerOptions): Worker {
  return new Worker(url, {
    name: options.name,
    workerData: options.data,
    // The program's own flags are not for workers: under `node --input-type=module -e …` an inherited one is fatal.
    execArgv: [],
    ...(options.transfer === undefined ? {} : { transferList: [...options.transfer] }),
    ...(options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }),
  });
}

/**
 * Inside a worker: the port to the thread that started it, and the data it was given.
 *
 * @throws ModelComposeError `invalid-argument` when called on the main thread.
 */
export function workerScope(): { port: MessagePort; data: unknown } {
  if (isMainThread || parentPort === null) {
    throw new ModelComposeError(
      "invalid-argument",
      "A worker's entry module was loaded outside a worker thread.",
      {
        remedy: "Start it with startWorker().",
      },
    );
  }
  return { port: parentPort, data: workerData };
}

/**
 * The oldest message that a port has got and nobody was given yet, at once: for a thread that works and does not return to its
 * event loop.
 *
 * @throws Error when there is none
 */
export function nextMessage(port: MessagePort): unknown {
  const received = receiveMessageOnPort(port);
  if (received === undefined) {
    throw new Error("A message was expected on the port, and none is there.");
  }
  return received.message;
}
