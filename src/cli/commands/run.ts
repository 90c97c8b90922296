import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { errorMessage, ModelComposeError } from "../../runtime/errors.ts";
import type { ComposeDefinition } from "../compose/definition.ts";
import { readEnvironment } from "../compose/environment-files.ts";
import { findComposeFiles, loadCompose } from "../compose/load.ts";
import { ModelHost, type LoadTextModel } from "../compose/model-host.ts";
import { formatProblem } from "../compose/problems.ts";
import { runWorkflow, type WorkflowResult } from "../compose/run-workflow.ts";
import { toText } from "../compose/template/convert.ts";
import { deviceOptions, type DeviceFlags } from "../flags.ts";
import { statisticsLine } from "../report.ts";
import type { Terminal } from "../terminal.ts";

/** Flags that every command on compose files takes. */
export interface ComposeFlags {
  readonly file?: readonly string[];
  readonly envFile?: readonly string[];
  readonly env?: readonly string[];
  readonly lenient?: boolean;
}

export interface RunFlags extends ComposeFlags, DeviceFlags {
  readonly input?: string;
  readonly output?: string;
}

export interface CommandContext {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly loadModel: LoadTextModel;
}

/** Loads the compose files that the flags name, and shows what `--lenient` let pass. */
export function loadFromFlags(flags: ComposeFlags, terminal: Terminal): ComposeDefinition {
  const directory = process.cwd();
  const files = findComposeFiles(directory, flags.file ?? []);
  const environment = readEnvironment({
    directory,
    entries: flags.env ?? [],
    files: flags.envFile ?? [],
    process: process.env,
  });
  const definition = loadCompose(files, { environment, lenient: flags.lenient });
  for (const warning of definition.warnings) terminal.warn(formatProblem(warning));
  return definition;
}

/** `model-compose run`: one workflow, in this process, its result on stdout. */
export async function run(
  workflow: string | undefined,
  flags: RunFlags,
  context: CommandContext,
): Promise<void> {
  const { terminal, signal } = context;
  const overrides = deviceOptions(flags);
  const input = parseInput(flags.input ?? "{}");
  const definition = loadFromFlags(flags, terminal);
  if (flags.output !== undefined) checkOutputFile(flags.output);
  const host = new ModelHost(
    context.loadModel,
    {
      onProgress: (progress) => terminal.loading(progress),
      onNotice: (line) => terminal.note(line),
    },
    overrides,
  );
  try {
    const onPrefill = (progress: { done: number; total: number }): void => terminal.prefilling(progress);
    let latest = 0;
    for await (const event of runWorkflow(definition, host, { workflow, input, signal, onPrefill })) {
      if (event.type === "warning") {
        terminal.warn(event.message);
      } else if (event.type === "text") {
        if (event.generation !== latest) terminal.endLine();
        latest = event.generation;
        await showText(event, flags, terminal);
      } else {
        await showResult(event.result, flags, terminal);
      }
    }
  } finally {
    terminal.close();
    await host.dispose();
  }
}

async function showText(
  event: { readonly text: string; readonly output: boolean },
  flags: RunFlags,
  terminal: Terminal,
): Promise<void> {
  const toStdout = event.output && flags.output === undefined;
  if (toStdout) await terminal.write(event.text);
  // Never twice on one screen.
  if (terminal.watched && !(toStdout && terminal.stdoutIsTerminal)) terminal.live(event.text);
}

async function showResult(result: WorkflowResult, flags: RunFlags, terminal: Terminal): Promise<void> {
  terminal.endLine();
  const text = formatOutput(result.output);
  if (flags.output !== undefined) await writeOutputFile(flags.output, text);
  // A stream has been written already, but for the end of its last line.
  else if (!result.streamed) await terminal.write(text);
  else if (!text.endsWith("\n\n")) await terminal.write("\n");
  if (result.drawnSeed !== undefined) {
    terminal.note(`seed ${result.drawnSeed} (drawn; set seed to get the same text again)`);
  }
  terminal.note(statisticsLine(result.generations, result.device));
}

/** Lists and objects as JSON, other values bare, nothing for null. */
function formatOutput(output: unknown): string {
  if (output === null || output === undefined) return "";
  if (typeof output === "object") return `${JSON.stringify(output, null, 2)}\n`;
  return `${toText(output)}\n`;
}

function parseInput(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ModelComposeError("invalid-input", `--input is not JSON: ${errorMessage(error)}.`, {
      cause: error,
      remedy: `Write --input '{"prompt": "Once upon a time"}' (in Windows' cmd: "{\\"prompt\\": \\"Once upon a time\\"}").`,
    });
  }
}

/** Says before the work, not after it, that the result has no place. */
function checkOutputFile(file: string): void {
  const folder = path.dirname(path.resolve(file));
  const isFolder = (name: string): boolean =>
    statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder(folder)) {
    throw new ModelComposeError("invalid-argument", `--output ${file}: the folder ${folder} does not exist.`);
  }
  if (isFolder(file)) throw new ModelComposeError("invalid-argument", `--output ${file} is a folder.`);
}

async function writeOutputFile(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new ModelComposeError("invalid-argument", `--output ${file}: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
}
