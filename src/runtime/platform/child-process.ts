/** Runs a module of this program in a process of its own, whose output nobody but the caller sees. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AbortError } from "../../base/errors.ts";

/** The most characters that are kept of what a process writes. */
const MAX_OUTPUT = 64 * 1024;

export interface ModuleRun {
  readonly stdout: string;
  readonly stderr: string;
  /** How the process ended; undefined: with the exit code 0. */
  readonly failure: string | undefined;
}

/**
 * @param url The module, see `workerUrl`
 * @param options `milliseconds`: the process is killed after that time
 * @throws AbortError; the error of a process that cannot be started
 */
export function runModule(
  url: URL,
  args: readonly string[],
  options: { readonly milliseconds: number; readonly signal?: AbortSignal | undefined },
): Promise<ModuleRun> {
  const { milliseconds, signal } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(url), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      // An Electron application's binary is no Node without it.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: "1" },
      signal,
      killSignal: "SIGKILL",
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), milliseconds);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout = (stdout + text).slice(0, MAX_OUTPUT);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(0, MAX_OUTPUT);
    });
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(signal?.aborted ? new AbortError(signal.reason) : error);
    });
    child.on("close", (code, killedBy) => {
      clearTimeout(timer);
      const failure =
        code === 0 ? undefined : killedBy === null ? `exit code ${code ?? "unknown"}` : `signal ${killedBy}`;
      resolve({ stdout, stderr, failure });
    });
  });
}
