import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";
import { z } from "zod";
import { AbortError, errorMessage, ModelComposeError, type ErrorCode } from "../base/errors.ts";
import { openOwnFile } from "../runtime/platform/own-files.ts";
import { projectKey } from "./project.ts";
import { privateFolder } from "./state-directory.ts";

/** The variable of the environment that tells a detached server the file that takes its output. */
const LOG_VARIABLE = "MODEL_COMPOSE_DETACHED_LOG";

const report = z.discriminatedUnion("state", [
  z.object({ state: z.literal("listening"), url: z.string(), webUiUrl: z.string().optional() }),
  z.object({ state: z.literal("ready") }),
  z.object({ state: z.literal("failed"), code: z.string().optional(), message: z.string() }),
]);
/** What a detached server tells the command that started it. */
export type LaunchReport = z.infer<typeof report>;

/** Path of the log of a project's detached server; there may be no such file. */
export async function logFile(files: readonly string[]): Promise<string> {
  return path.join(await privateFolder("logs"), `${projectKey(files)}.log`);
}

/** Path of the log of this process, when it is a detached server. */
export function detachedLog(): string | undefined {
  return process.env[LOG_VARIABLE];
}

/** Tells the command that started this server how far it is, if one did and still listens. */
export function reportLaunch(message: LaunchReport): void {
  if (!process.connected) {
    return;
  }
  // The command has heard enough when it leaves; the server does not depend on it.
  process.send?.(message, undefined, undefined, () => undefined);
}

export function launchFailure(error: unknown): LaunchReport {
  const code = error instanceof ModelComposeError ? error.code : undefined;
  return { state: "failed", code, message: errorMessage(error) };
}

/** A detached server that was started. */
export interface Launched {
  readonly pid: number;
  readonly log: string;
  readonly url: string;
  readonly webUiUrl?: string;
}

/**
 * Starts this program's command line once more, as a process of its own whose output goes to the project's log.
 *
 * @param until what this function waits for: sockets that listen, or models that are loaded
 * @throws what the server failed with; AbortError, and the server ends
 */
export async function launchDetached(
  files: readonly string[],
  until: "listening" | "ready",
  signal: AbortSignal,
): Promise<Launched> {
  const log = await logFile(files);
  const output = await openOwnFile(log, "write");
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [...process.execArgv, "--", ...process.argv.slice(1)], {
      detached: true,
      windowsHide: true,
      stdio: ["ignore", output.fd, output.fd, "ipc"],
      env: { ...process.env, [LOG_VARIABLE]: log, NO_COLOR: "1" },
    });
  } finally {
    await output.close();
  }
  try {
    const { url, webUiUrl } = await launched(child, { log, until, signal });
    return { pid: child.pid ?? 0, log, url, webUiUrl };
  } finally {
    if (child.connected) {
      child.disconnect();
    }
    child.unref();
  }
}

function launched(
  child: ChildProcess,
  { log, until, signal }: { log: string; until: "listening" | "ready"; signal: AbortSignal },
): Promise<Pick<Launched, "url" | "webUiUrl">> {
  return new Promise((resolve, reject) => {
    let place: Pick<Launched, "url" | "webUiUrl"> | undefined;
    const abort = (): void => {
      child.kill();
      reject(new AbortError(signal.reason));
    };
    const settle = (act: () => void): void => {
      signal.removeEventListener("abort", abort);
      child.removeAllListeners();
      act();
    };
    signal.addEventListener("abort", abort, { once: true });
    child.on("error", (error) => settle(() => reject(error)));
    child.on("exit", (code) => settle(() => reject(endedEarly(code, log))));
    child.on("message", (message) => {
      const told = report.parse(message);
      if (told.state === "failed") {
        settle(() => reject(failureOf(told)));
      } else {
        if (told.state === "listening") {
          place = told;
        }
        const where = place;
        if (told.state === until && where !== undefined) {
          settle(() => resolve(where));
        }
      }
    });
    if (signal.aborted) {
      abort();
    }
  });
}

function failureOf({ code, message }: { code?: string; message: string }): Error {
  return code === undefined ? new Error(message) : new ModelComposeError(code as ErrorCode, message);
}

function endedEarly(code: number | null, log: string): ModelComposeError {
  return new ModelComposeError("device", `The server ended with ${code ?? "a signal"} before it was there.`, {
    remedy: `What happened is in its log, ${log}.`,
  });
}
