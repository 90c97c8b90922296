/** Noisy neighbours: processes that take the cores away. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { ModelComposeError } from "../../src/base/errors.ts";
import { workerUrl } from "../../src/runtime/platform/workers.ts";

/** Runs `action` beside `count` busy processes, which are all at work when it begins and gone when this resolves. */
export async function besideBusyProcesses<T>(count: number, action: () => Promise<T>): Promise<T> {
  const url = workerUrl(import.meta.url, { source: "./busy-process.ts", bundled: "bench-busy-process.js" });
  const children = Array.from({ length: count }, () => fork(fileURLToPath(url), { execArgv: [] }));
  const exits = children.map((child) => once(child, "exit"));
  const lost = Promise.race(exits).then(() => {
    throw new ModelComposeError(
      "device",
      "A busy process ended by itself; the contended figure would be wrong.",
      {
        remedy: "Run the benchmark again.",
      },
    );
  });
  lost.catch(() => undefined); // they also end when they are killed, and then nobody listens
  try {
    await Promise.race([lost, Promise.all(children.map((child) => once(child, "message")))]);
    return await Promise.race([lost, action()]);
  } finally {
    for (const child of children) {
      child.kill();
    }
    await Promise.all(exits);
  }
}
