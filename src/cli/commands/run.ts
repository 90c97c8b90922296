import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { styleText } from "node:util";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { visibleText } from "../../base/visible-text.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { defaultWorkflowId, type ComposeDefinition } from "../../compose/definition/definition.ts";
import { readEnvironment } from "../../compose/source/environment-files.ts";
import { findComposeFiles, loadCompose } from "../../compose/load.ts";
import { MemoryRoom } from "../../compose/memory-room.ts";
import { ModelHost, type LoadTextModel } from "../../compose/model-host.ts";
import { formatProblem } from "../../compose/source/problems.ts";
import { Engine } from "../../compose/run/engine.ts";
import type { RunEvent, WorkflowResult } from "../../compose/run/events.ts";
import { toText } from "../../compose/template/convert.ts";
import type { Environment } from "../../compose/template/environment.ts";
import { deviceOptions, type DeviceFlags, type DeviceOptions } from "../flags.ts";
import { runOnServer } from "../../registry/control-client.ts";
import { definitionHash } from "../../registry/project.ts";
import type { Registration } from "../../registry/registration.ts";
import { serversOf } from "../../registry/running-servers.ts";
import { summarize } from "../../server/run-summary.ts";
import { readInput } from "../input.ts";
import { statisticsLine } from "../report.ts";
import { remainingText } from "../result-text.ts";
import type { Terminal } from "../terminal.ts";

/** The flags that every command on compose files takes. */
export interface ComposeFlags {
  readonly file?: readonly string[];
  readonly envFile?: readonly string[];
  readonly env?: readonly string[];
  readonly lenient?: boolean;
}

export interface RunFlags extends ComposeFlags, DeviceFlags {
  readonly input?: readonly string[];
  readonly output?: string;
  /** Whether to print all that is known of the run, as JSON. */
  readonly json?: boolean;
  /** Whether to run in this process also when a server of the project runs. */
  readonly local?: boolean;
}

/** Compose files that were loaded, with the variables that they saw. */
export interface Project {
  readonly definition: ComposeDefinition;
  readonly environment: Environment;
}

export interface CommandContext {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly loadModel: LoadTextModel;
}

/** Loads the compose files that the flags name, and shows what `--lenient` let pass. */
export function loadProject(flags: ComposeFlags, terminal: Terminal): Project {
  const directory = process.cwd();
  const files = findComposeFiles(directory, flags.file ?? []);
  const environment = readEnvironment({
    directory,
    entries: flags.env ?? [],
    files: flags.envFile ?? [],
    process: process.env,
    onWarning: (message) => terminal.warn(message),
  });
  const definition = loadCompose(files, { environment, lenient: flags.lenient });
  for (const warning of definition.warnings) {
    terminal.warn(formatProblem(warning));
  }
  return { definition, environment };
}

/** `model-compose run`: one workflow, its result on stdout; on a running server of the project where there is one. */
export async function run(
  workflow: string | undefined,
  flags: RunFlags,
  context: CommandContext,
): Promise<void> {
  const { terminal, signal } = context;
  const overrides = deviceOptions(flags);
  const input = await readInput(flags.input ?? [], terminal);
  const { definition } = loadProject(flags, terminal);
  if (flags.output !== undefined) {
    checkOutputFile(flags.output);
  }
  const server = flags.local === true ? undefined : await serverFor(definition, overrides, terminal);
  const streams = flags.output === undefined && flags.json !== true;
  const live = new LiveTexts(terminal, streams && terminal.stdoutIsTerminal);
  const warnings: string[] = [];
  const seeds = new Set<number>();
  const showAll = async (events: AsyncIterable<RunEvent>): Promise<void> => {
    try {
      await showEach(events);
    } catch (error) {
      // Who interrupts a run has perhaps read a text that is worth having whole.
      showSeeds(seeds, terminal);
      throw error;
    }
  };
  const showEach = async (events: AsyncIterable<RunEvent>): Promise<void> => {
    for await (const event of events) {
      live.show(event);
      if (event.type === "generation-started" && event.drawnSeed !== undefined) {
        seeds.add(event.drawnSeed);
      }
      if (event.type === "warning") {
        warnings.push(event.message);
      }
      if (event.type === "result") {
        await showResult(event.result, { flags, terminal, shown: live.shown, warnings });
      } else {
        await show(event, streams, terminal);
      }
    }
  };
  if (server !== undefined) {
    try {
      await showAll(runOnServer(server, { workflow: workflow ?? defaultWorkflowId, input }, signal));
    } finally {
      terminal.close();
    }
    return;
  }
  const hooks = { onNotice: (line: string) => terminal.note(line) };
  const room = new MemoryRoom(definition.controller.memoryBudget);
  const host = new ModelHost(context.loadModel, hooks, overrides, room);
  try {
    await showAll(new Engine(definition, host).run({ workflow, input, signal }));
  } finally {
    terminal.close();
    await host.dispose();
  }
}

/** The running server that was started with the same files, meaning the same, and the same flags for the device. */
async function serverFor(
  definition: ComposeDefinition,
  overrides: DeviceOptions,
  terminal: Terminal,
): Promise<Registration | undefined> {
  const servers = await serversOf(definition.files.map((file) => file.path));
  const hash = definitionHash(definition);
  const wanted = JSON.stringify(overrides);
  const same = servers.find(
    ({ registration }) =>
      registration.version === packageJson.version &&
      registration.definitionHash === hash &&
      (wanted === "{}" || registration.overrides === wanted),
  );
  if (same !== undefined) {
    terminal.note(`Runs on the server at ${same.registration.url}; --local runs it here.`);
    return same.registration;
  }
  const [other] = servers;
  if (other !== undefined) {
    terminal.note(`The server at ${other.registration.url} has another configuration: runs without it.`);
  }
  return undefined;
}

/** @param streams Whether the pieces of an output that is a stream go to stdout as they come */
async function show(
  event: Exclude<RunEvent, { type: "result" }>,
  streams: boolean,
  terminal: Terminal,
): Promise<void> {
  switch (event.type) {
    case "warning":
      terminal.warn(event.message);
      return;
    case "job-retried": {
      const { path, attempt, attempts, message } = event;
      terminal.warn(`job ${path.join(".")}, attempt ${attempt} of ${attempts} failed: ${message}`);
      return;
    }
    case "loading":
      terminal.loading(event.progress);
      return;
    case "prefill":
      terminal.prefilling(event);
      return;
    case "output":
      if (streams) {
        await terminal.write(pieceText(event.value));
      }
      return;
    case "run-started":
    case "job-started":
    case "job-ended":
    case "generation-started":
    case "text":
    case "generation-ended":
      return;
  }
}

/** A piece of a stream as it is written: text as it is, other values as a line of JSON. */
function pieceText(value: unknown): string {
  return typeof value === "string" ? value : `${JSON.stringify(value)}\n`;
}

interface OpenText {
  waiting: string;
  /** The prompt that its result begins with, and what of the answer has come. */
  prefix: string;
  content: string;
  hasEnded: boolean;
  /** The kind of the piece before; "none" when there was none. */
  kind: Extract<RunEvent, { type: "text" }>["kind"] | "none";
}

/** Shows new text on stderr as it is produced; texts that are produced at the same time, one behind the other. */
class LiveTexts {
  readonly #terminal: Terminal;
  /** Whether what streams to stdout is on the same screen already. */
  readonly #stdoutShows: boolean;
  /** The texts that are on the screen whole, as a result would have them. */
  readonly shown = new Set<string>();
  /** The texts that have begun, in this order, with what of them waits. */
  readonly #open = new Map<number, OpenText>();

  constructor(terminal: Terminal, stdoutShows: boolean) {
    this.#terminal = terminal;
    this.#stdoutShows = stdoutShows;
  }

  show(event: RunEvent): void {
    if (!this.#terminal.watched) {
      return;
    }
    if (event.type === "generation-started") {
      if (event.output && this.#stdoutShows) {
        return;
      }
      const prefix = event.prefix ?? "";
      const waiting = prefix;
      this.#open.set(event.generation, { waiting, prefix, content: "", hasEnded: false, kind: "none" });
      return;
    }
    if (event.type !== "text" && event.type !== "generation-ended") {
      return;
    }
    const text = this.#open.get(event.generation);
    if (text === undefined) {
      return;
    }
    if (event.type === "text") {
      text.waiting += this.#shown(event, text);
      text.content += event.kind === undefined ? event.text : "";
    } else {
      text.hasEnded = true;
    }
    this.#showFirst();
  }

  /** A piece of text as it is shown: reasoning and calls of tools stand apart from the answer, and dimmed. */
  #shown({ text, kind }: Extract<RunEvent, { type: "text" }>, open: OpenText): string {
    const isNext = open.kind !== kind && open.kind !== "none";
    open.kind = kind;
    const plain = visibleText(text);
    const shown = kind === undefined ? plain : styleText("dim", plain, { stream: process.stderr });
    return isNext ? `\n\n${shown}` : shown;
  }

  #showFirst(): void {
    for (const [generation, text] of this.#open) {
      this.#terminal.live(text.waiting);
      text.waiting = "";
      if (!text.hasEnded) {
        return;
      }
      this.#terminal.endLine();
      this.#open.delete(generation);
      this.shown.add(text.prefix + text.content).add(text.content);
    }
  }
}

function showSeeds(seeds: ReadonlySet<number>, terminal: Terminal): void {
  terminal.endLine();
  for (const seed of seeds) {
    terminal.note(`seed ${seed} (drawn; set seed to get the same text again)`);
  }
}

interface Showing {
  readonly flags: RunFlags;
  readonly terminal: Terminal;
  /** Texts that are on the screen already. */
  readonly shown: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

async function showResult(
  result: WorkflowResult,
  { flags, terminal, shown, warnings }: Showing,
): Promise<void> {
  terminal.endLine();
  const isWhole = flags.json === true || flags.output !== undefined;
  const text = flags.json === true ? bodyText(result, warnings) : formatOutput(result.output);
  if (flags.output !== undefined) {
    await writeOutputFile(flags.output, text);
  }
  // A stream has been written already, but for the end of its last line.
  else if (result.streamed && !isWhole) {
    await terminal.write(text.endsWith("\n\n") ? "" : "\n");
  } else {
    await terminal.write(terminal.stdoutIsTerminal && !isWhole ? remainingText(result.output, shown) : text);
  }
  const { generations } = result;
  const drawn = generations.filter(({ seedDrawn }) => seedDrawn).map((record) => record.result.seed);
  showSeeds(new Set(drawn.filter((one) => one !== undefined)), terminal);
  if (generations.length === 0) {
    return;
  }
  const devices = new Set(generations.map(({ device }) => device));
  terminal.note(
    statisticsLine(
      generations.map((record) => record.result),
      [...devices].join(", "),
    ),
  );
}

/** All that is known of a run that has ended, in the words of the API's tasks. */
function bodyText({ output, generations }: WorkflowResult, warnings: readonly string[]): string {
  return `${JSON.stringify({ output, ...summarize(generations), warnings }, null, 2)}\n`;
}

/** An output as text: lists and objects as JSON, other values bare, nothing for null. */
function formatOutput(output: unknown): string {
  if (output === null || output === undefined) {
    return "";
  }
  if (typeof output === "object") {
    return `${JSON.stringify(output, null, 2)}\n`;
  }
  return `${toText(output)}\n`;
}

/** Checks that the result has a place before the work is done, not after it. */
function checkOutputFile(file: string): void {
  const folder = path.dirname(path.resolve(file));
  const isFolder = (name: string): boolean =>
    statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder(folder)) {
    throw new ModelComposeError("usage", `--output ${file}: the folder ${folder} does not exist.`);
  }
  if (isFolder(file)) {
    throw new ModelComposeError("usage", `--output ${file} is a folder.`);
  }
}

async function writeOutputFile(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new ModelComposeError("usage", `--output ${file}: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
}
