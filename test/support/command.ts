/**
 * The command line as a user runs it, in a process of its own; built-program.ts has bundled it. Mutation testing changes code of
 * its own process only: it takes in-process-command.ts in place of this file.
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";

export interface CommandResult {
  /** Exit code; null: a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  /** The id of its process. */
  readonly pid: number | undefined;
  readonly ended: Promise<CommandResult>;
  /** The text on stderr so far. */
  readonly stderr: () => string;
  readonly kill: (signal: "SIGINT" | "SIGKILL") => void;
  /** Goes away as the reader of stdout. */
  readonly closeStdout: () => void;
}

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What it reads from stdin, which has nothing otherwise. */
  readonly stdin?: string;
  /** Called with stdout so far, after each piece. */
  readonly onStdout?: (stdout: string, command: RunningCommand) => void;
}

const root = resolve(import.meta.dirname, "../..");
const entry = resolve(root, "dist/cli.js");

export function startCommand(args: readonly string[], options: CommandOptions): RunningCommand {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const [output, problems] = [child.stdout!, child.stderr!];
  child.stdin?.end(options.stdin);
  let stdout = "";
  let stderr = "";
  output.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    options.onStdout?.(stdout, running);
  });
  problems.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const running: RunningCommand = {
    pid: child.pid,
    ended,
    stderr: () => stderr,
    kill: (signal) => child.kill(signal),
    closeStdout: () => output.destroy(),
  };
  return running;
}

export function runCommand(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return startCommand(args, options).ended;
}
