/** Measures how long `/health` takes while prompts of the size of a book are read. */
import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Progress } from "../harness/progress.ts";
import { summarize, type Summary } from "../harness/statistics.ts";
import { postBody, postRun, runBody } from "./client.ts";
import type { Listening } from "./queue-process.ts";
import { answer, startServerProcess } from "./server-process.ts";

export interface Health {
  /** Prompts that came at the same time. */
  prompts: number;
  /** Milliseconds of an answer meanwhile. */
  milliseconds: Summary;
}

const PROMPTS = 10;
/** Bytes of a prompt; a body may have a megabyte. */
const PROMPT_BYTES = 900_000;
/** Runs that end before: the code that serves them is loaded and compiled. */
const WARM_UP = 30;
/** Between two questions. */
const PAUSE_MILLISECONDS = 5;

/**
 * Sends prompts that are longer than the model's context, so that nothing is measured but their way to the refusal: parsing, checks,
 * encoding.
 *
 * @throws Error when a prompt is not refused, or `/health` does not answer
 */
export async function measureHealth(progress: Progress): Promise<Health> {
  progress.phase("health: starting a server");
  const child = startServerProcess(PROMPTS);
  const agent = new Agent({ keepAlive: true });
  try {
    const { url } = await answer<Listening>(child);
    for (let i = 0; i < WARM_UP; i++) {
      await postRun(url, agent, { prompt: "Once upon a time" });
      await askHealth(url, agent);
    }
    // What is measured is the server: this process has nothing to do but to send and to ask.
    const bodies = Array.from({ length: PROMPTS }, (_, index) => runBody({ prompt: promptOf(index) }));
    progress.phase(`health: ${PROMPTS} prompts of ${PROMPT_BYTES / 1000} kB`);
    let pending = PROMPTS;
    const refusals = bodies.map(async (body) => {
      try {
        return await postBody(url, agent, body).catch(String);
      } finally {
        pending--;
      }
    });
    const times: number[] = [];
    while (pending > 0) {
      times.push(await askHealth(url, agent));
      await sleep(PAUSE_MILLISECONDS);
    }
    for (const refusal of await Promise.all(refusals)) {
      if (!refusal.includes("The server answered 422")) {
        throw new Error(`A prompt of ${PROMPT_BYTES} bytes was not refused: ${refusal.slice(0, 200)}`);
      }
    }
    return { prompts: PROMPTS, milliseconds: summarize(times) };
  } finally {
    child.kill();
    agent.destroy();
  }
}

function promptOf(index: number): string {
  const sentence = `${index}: once upon a time there was a ${"very ".repeat(index)}small house. `;
  return sentence.repeat(Math.ceil(PROMPT_BYTES / sentence.length)).slice(0, PROMPT_BYTES);
}

/** Milliseconds until `/health` has answered. */
function askHealth(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    get(`${url}/health`, { agent }, (response) => {
      response.resume();
      response.on("end", () => {
        if (response.statusCode === 200) {
          resolve(performance.now() - begun);
        } else {
          reject(new Error(`/health answered ${response.statusCode ?? 0}.`));
        }
      });
    }).on("error", reject);
  });
}
