/**
 * The server whose queue is weighed, in a process of its own (server-process.ts starts it, with --expose-gc and the number of runs
 * that it takes at a time). It sends where
 * it listens; runs wait behind a gate, which is open until "shut" comes; "weigh" is answered with a Weight. It ends with
 * its parent.
 */
import { startServer } from "../../src/server/server.ts";
import { loadModel } from "../../src/index.ts";
import { composeDefinition, lent, MODEL } from "./workflow.ts";

export interface Listening {
  url: string;
}

export interface Weight {
  /** Resident set size after a garbage collection, in bytes. */
  rss: number;
  heapUsed: number;
  running: number;
  waiting: number;
}

export type Order = "shut" | "weigh";

process.on("disconnect", () => process.exit());

const model = await loadModel(MODEL, { device: "cpu" });
const never = Promise.withResolvers<void>().promise;
let gate: Promise<void> = Promise.resolve();
const server = await startServer(composeDefinition(1, Number(process.argv[2])), {
  port: 0,
  environment: new Map(),
  loadModel: () =>
    Promise.resolve(
      lent(model, async function* (prompt, options) {
        await gate;
        yield* model.stream(prompt, options);
      }),
    ),
});
await server.ready;

process.on("message", (order: Order) => {
  if (order === "shut") {
    gate = never;
  } else {
    void weigh().then((weight) => process.send?.(weight));
  }
});
process.send?.({ url: server.url } satisfies Listening);

/** Weighs the process after several garbage collections: the first may leave what finalizers hold. */
async function weigh(): Promise<Weight> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed } = process.memoryUsage();
  const { running, waiting } = server.service;
  return { rss, heapUsed, running, waiting };
}
