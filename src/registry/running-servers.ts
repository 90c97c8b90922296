import { setTimeout as sleep } from "node:timers/promises";
import { ModelComposeError, throwIfAborted } from "../base/errors.ts";
import { askServer, requestStop } from "./control-client.ts";
import type { ControlInfo } from "./control-server.ts";
import { projectFiles } from "./project.ts";
import { forget, readRegistrations, type Registration } from "./registration.ts";

export interface RunningServer {
  readonly registration: Registration;
  readonly info: ControlInfo;
}

/** The servers of this user that answer. The registration of a server that is gone is removed. */
export async function runningServers(): Promise<RunningServer[]> {
  return (await askAll()).answering;
}

/** The running servers of one project, which have the same compose files. */
export async function serversOf(files: readonly string[]): Promise<RunningServer[]> {
  const wanted = JSON.stringify(projectFiles(files));
  return (await runningServers()).filter(({ registration }) => JSON.stringify(registration.files) === wanted);
}

/** The servers of one project on whose port somebody listens and does not answer. */
export async function silentServersOf(files: readonly string[]): Promise<Registration[]> {
  const wanted = JSON.stringify(projectFiles(files));
  return (await askAll()).silent.filter((registration) => JSON.stringify(registration.files) === wanted);
}

async function askAll(): Promise<{ answering: RunningServer[]; silent: Registration[] }> {
  const answering: RunningServer[] = [];
  const silent: Registration[] = [];
  await Promise.all(
    (await readRegistrations()).map(async (registration) => {
      const info = await askServer(registration);
      if (info === "gone") {
        await forget(registration);
      } else if (info === "silent") {
        silent.push(registration);
      } else {
        answering.push({ registration, info });
      }
    }),
  );
  answering.sort((a, b) => a.registration.startedAt.localeCompare(b.registration.startedAt));
  return { answering, silent };
}

const POLL_MILLISECONDS = 50;

export interface StopOptions {
  readonly signal: AbortSignal;
  /** Whether the server's runs are cancelled instead of being waited for. */
  readonly now: boolean;
  readonly timeoutMilliseconds: number;
}

/**
 * Asks a server to end and waits until it is gone. One that does not end in time, or does not even answer, hangs: its process
 * is killed.
 *
 * @returns whether it was killed
 * @throws AbortError; ModelComposeError where it cannot be killed
 */
export async function stopServer(
  { registration }: RunningServer,
  { signal, now, timeoutMilliseconds }: StopOptions,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMilliseconds;
  // Who hangs does not answer this either.
  await requestStop(registration, now).catch(() => undefined);
  let isKilled = false;
  while ((await askServer(registration)) !== "gone") {
    throwIfAborted(signal);
    if (performance.now() > deadline && !isKilled) {
      isKilled = true;
      kill(registration);
    }
    await sleep(POLL_MILLISECONDS);
  }
  await forget(registration);
  return isKilled;
}

/** Kills a server that answered a moment ago, and so has the process id that stands in its registration. */
function kill({ pid }: Registration): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") {
      return;
    }
    throw new ModelComposeError("device", `The server with the process id ${pid} does not end.`, {
      remedy: "See what it does with model-compose logs, or end the process.",
      cause: error,
    });
  }
}
