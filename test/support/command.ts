/** The command line as a user runs it, in a process of its own; built-program.ts has bundled it. */
import { spawn, type ChildProcess } from "node:child_process";
import { resolve } from "node:path";

export interface CommandResult {
  /** Exit code; null: a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<CommandResult>;
  /** The text on stderr so far. */
  readonly stderr: () => string;
}

const root = resolve(import.meta.dirname, "../..");
const entry = resolve(root, "dist/cli.js");

export function startCommand(
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string | undefined>> },
): RunningCommand {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended, stderr: () => stderr };
}

export function runCommand(...args: Parameters<typeof startCommand>): Promise<CommandResult> {
  return startCommand(...args).ended;
}
