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
  const registrations = await readRegistrations();
  const asked = await Promise.all(
    registrations.map(async (registration) => {
      const info = await askServer(registration);
      if (info === "gone") {
        await forget(registration);
      }
      return typeof info === "string" ? [] : [{ registration, info }];
    }),
  );
  return asked.flat();
}

/** The running servers of one project, which have the same compose files. */
export async function serversOf(files: readonly string[]): Promise<RunningServer[]> {
  const wanted = JSON.stringify(projectFiles(files));
  const all = await runningServers();
  return all.filter(({ registration }) => JSON.stringify(registration.files) === wanted);
}

const POLL_MILLISECONDS = 50;

export interface StopOptions {
  readonly signal: AbortSignal;
  /** Whether the server's runs are cancelled instead of being waited for. */
  readonly now: boolean;
  readonly timeoutMilliseconds: number;
}

/** Asks a server to end and waits until it is gone. @throws AbortError; ModelComposeError when it does not end */
export async function stopServer(
  { registration }: RunningServer,
  { signal, now, timeoutMilliseconds }: StopOptions,
): Promise<void> {
  await requestStop(registration, now);
  const deadline = performance.now() + timeoutMilliseconds;
  while ((await askServer(registration)) !== "gone") {
    throwIfAborted(signal);
    if (performance.now() > deadline) {
      throw new ModelComposeError(
        "device",
        `The server with the process id ${registration.pid} does not end.`,
        {
          remedy: "See what it does with model-compose logs, or end the process.",
        },
      );
    }
    await sleep(POLL_MILLISECONDS);
  }
  await forget(registration);
}
