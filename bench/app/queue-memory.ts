/** Measures the memory that runs take while they wait for their turn. */
import type { ChildProcess } from "node:child_process";
import { Agent } from "node:http";
import type { Progress } from "../harness/progress.ts";
import { postRun } from "./client.ts";
import type { Listening, Order, Weight } from "./queue-process.ts";
import { answer, startServerProcess } from "./server-process.ts";

/** The memory of a server without runs and with `queued` runs that wait. */
export interface QueueMemory {
  queued: number;
  idleRssBytes: number;
  queuedRssBytes: number;
  /** Bytes that V8's heap alone has grown by from idle. */
  heapBytes: number;
}

/** Runs that end before anything is weighed: the code that serves them is loaded and compiled. */
const WARM_UP = 30;
/** Connections that are opened at a time; a listening socket holds only so many that wait to be accepted. */
const BURST = 100;
/** Characters of a prompt: about a page of text, other text in every run. */
const PROMPT_LENGTH = 2000;

/**
 * Measures with blocking runs, each of which holds its connection and its input. Besides the `queued` ones that wait,
 * one runs, and does not get on.
 *
 * @throws Error when the server does not take them, or does not let them wait
 */
export async function measureQueueMemory(queued: number, progress: Progress): Promise<QueueMemory> {
  progress.phase("queue: starting a server");
  const child = startServerProcess(1);
  const agent = new Agent({ keepAlive: false });
  try {
    const { url } = await answer<Listening>(child);
    const run = (index: number): Promise<string> => postRun(url, agent, { prompt: promptOf(index) });
    for (let i = 0; i < WARM_UP; i++) {
      await run(i);
    }
    child.send("shut" satisfies Order);
    const idle = await weigh(child);
    const runs = Array.from({ length: queued + 1 }, (_, index) => () => run(index));
    const full = await queueUp(runs, child, progress);
    return {
      queued,
      idleRssBytes: idle.rss,
      queuedRssBytes: full.rss,
      heapBytes: full.heapUsed - idle.heapUsed,
    };
  } finally {
    child.kill();
    agent.destroy();
  }
}

/** Starts runs, burst by burst, and waits until all of them wait. */
async function queueUp(
  runs: readonly (() => Promise<string>)[],
  child: ChildProcess,
  progress: Progress,
): Promise<Weight> {
  let failure: unknown;
  let weight: Weight | undefined;
  for (let begun = 0; begun < runs.length; begun += BURST) {
    for (const run of runs.slice(begun, begun + BURST)) {
      run().catch((error: unknown) => (failure ??= error));
    }
    const all = Math.min(begun + BURST, runs.length);
    do {
      weight = await weigh(child);
      if (failure !== undefined) {
        throw new Error("A run was not queued.", { cause: failure });
      }
    } while (weight.running + weight.waiting < all);
    progress.step(`queue: ${weight.waiting} runs wait`);
  }
  if (weight?.waiting === runs.length - 1) {
    return weight;
  }
  throw new Error(`Of ${runs.length} runs, ${weight?.waiting ?? 0} wait; expected all but one.`);
}

function promptOf(index: number): string {
  return `${index}: once upon a time `.repeat(PROMPT_LENGTH).slice(0, PROMPT_LENGTH);
}

async function weigh(child: ChildProcess): Promise<Weight> {
  const weight = answer<Weight>(child);
  child.send("weigh" satisfies Order);
  return weight;
}
