/**
 * What command.ts does, in this process, for mutation testing: one command at a time has the process's streams, its environment,
 * its folder and its signals.
 */
import { Readable } from "node:stream";
import { vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import type { CommandOptions, CommandResult, RunningCommand } from "./command.ts";

let previous: Promise<unknown> = Promise.resolve();

export function startCommand(args: readonly string[], options: CommandOptions): RunningCommand {
  let [stdout, stderr] = ["", ""];
  const running: RunningCommand = {
    pid: process.pid,
    ended: previous.then(() =>
      execute(args, options, {
        stdout: (text) => {
          stdout += text;
          options.onStdout?.(stdout, running);
        },
        stderr: (text) => (stderr += text),
      }).then((code) => ({ code, stdout, stderr })),
    ),
    stderr: () => stderr,
    kill: (signal) => process.emit(signal),
    closeStdout: () => process.stdout.emit("error", Object.assign(new Error("closed"), { code: "EPIPE" })),
  };
  previous = running.ended.catch(() => undefined);
  return running;
}

export function runCommand(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return startCommand(args, options).ended;
}

type Sink = (text: string) => void;

async function execute(
  args: readonly string[],
  { cwd, env = {}, stdin = "" }: CommandOptions,
  sinks: Readonly<Record<"stdout" | "stderr", Sink>>,
): Promise<number> {
  const before = { ...process.env };
  const { exitCode } = process;
  const folder = process.cwd();
  const input = Object.getOwnPropertyDescriptor(process, "stdin")!;
  const mocks = [
    vi.spyOn(process.stdout, "write").mockImplementation(writing(sinks.stdout)),
    vi.spyOn(process.stderr, "write").mockImplementation(writing(sinks.stderr)),
    // Completion prints by it, and vitest has one of its own.
    vi.spyOn(console, "log").mockImplementation((line: string) => sinks.stdout(`${line}\n`)),
  ];
  process.chdir(cwd);
  setEnvironment({ ...before, NO_COLOR: "1", ...env });
  Object.defineProperty(process, "stdin", { configurable: true, value: Readable.from([Buffer.from(stdin)]) });
  process.exitCode = undefined;
  try {
    await main(args);
    return Number(process.exitCode ?? 0);
  } finally {
    process.exitCode = exitCode;
    process.chdir(folder);
    Object.defineProperty(process, "stdin", input);
    setEnvironment(before);
    for (const mock of mocks) {
      mock.mockRestore();
    }
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.removeAllListeners(signal);
    }
    process.stdout.removeAllListeners("error");
    process.stderr.removeAllListeners("error");
  }
}

/** A stream's `write` that gives the text away, and tells that it is taken. */
function writing(sink: Sink): typeof process.stdout.write {
  return (chunk, ...rest) => {
    sink(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString());
    const taken = rest.find((value): value is () => void => typeof value === "function");
    setImmediate(() => taken?.());
    return true;
  };
}

function setEnvironment(values: Readonly<Record<string, string | undefined>>): void {
  for (const name of new Set([...Object.keys(process.env), ...Object.keys(values)])) {
    const value = values[name];
    if (value === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = value;
    }
  }
}
