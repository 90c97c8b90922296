/** Starts the server of queue-process.ts, and talks with it. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { workerUrl } from "../../src/runtime/platform/workers.ts";

/** @param atOnce how many runs it takes at a time */
export function startServerProcess(atOnce: number): ChildProcess {
  const script = workerUrl(import.meta.url, {
    source: "./queue-process.ts",
    bundled: "bench-queue-process.js",
  });
  return fork(fileURLToPath(script), [String(atOnce)], { execArgv: ["--expose-gc"] });
}

/**
 * The next message of the process.
 *
 * @throws Error when it ends instead
 */
export async function answer<T>(child: ChildProcess): Promise<T> {
  const stop = new AbortController();
  const { signal } = stop;
  const ended = once(child, "exit", { signal }).then(([code]) => {
    throw new Error(`The server's process ended with ${String(code)}.`);
  });
  try {
    const [message] = (await Promise.race([once(child, "message", { signal }), ended])) as [T];
    return message;
  } finally {
    stop.abort();
    ended.catch(() => undefined);
  }
}
