import { Command, CommanderError, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { errorInWordsOf } from "../base/front-words.ts";
import type { ChatFlags } from "./commands/chat.ts";
import { firstCommands } from "./commands/first-commands.ts";
import { generate, type GenerateFlags } from "./commands/generate.ts";
import { run, type CommandContext, type RunFlags } from "./commands/run.ts";
import type { LogsFlags } from "./commands/logs.ts";
import { modelsCommands } from "./commands/models.ts";
import type { PsFlags } from "./commands/ps.ts";
import type { ServeFlags } from "./commands/serve.ts";
import type { StopFlags } from "./commands/stop.ts";
import { validate } from "./commands/validate.ts";
import { addCompletion } from "./completion.ts";
import type { LoadTextModel } from "../compose/model-host.ts";
import { commonFlags, composeFlags, examples, flagsOf, type GlobalFlags } from "./common-flags.ts";
import { heldFlags, modelFlag, modelFlags, samplingFlags } from "./model-flags.ts";
import { AdaptersWanted, collect, countFlag, deviceFlags, numberFlag, portFlag } from "./flags.ts";
import { Interrupted, interruptSignal } from "./interrupt.ts";
import { deviceWords } from "./parameter-flags.ts";
import { failureText } from "./report.ts";
import { hintWhenSlow } from "./slow-hint.ts";
import { BrokenPipe, Terminal } from "./terminal.ts";

/** Loads a model. The code for it is loaded when a command needs it, so that `--help` and bad input answer at once. */
const loadModel: LoadTextModel = async (source, options) => {
  const { loadModelSized } = await import("../models/model.ts");
  return loadModelSized(source, options);
};

/** A loader that also tells what only helps to find out why. */
function withDetails(load: LoadTextModel, terminal: Terminal): LoadTextModel {
  return (source, options) => load(source, { ...options, onDetail: (line) => terminal.note(line) });
}

/**
 * Runs the command line. Sets `process.exitCode`: 0; 1 for a failure; 2 for a wrong command line; 130 for Ctrl-C.
 *
 * @param argv arguments behind the program's name
 */
export async function main(argv: readonly string[]): Promise<void> {
  const interrupted = interruptSignal();
  const state: { verbose: boolean; terminal?: Terminal } = { verbose: false };
  const start = (flags: GlobalFlags): CommandContext => {
    const terminal = new Terminal({ quiet: flags.quiet });
    state.verbose = flags.verbose ?? false;
    state.terminal = terminal;
    return {
      terminal,
      signal: AbortSignal.any([interrupted, terminal.broken]),
      loadModel: hintWhenSlow(flags.verbose ? withDetails(loadModel, terminal) : loadModel),
    };
  };
  let failure: unknown;
  try {
    await createProgram(start).parseAsync(argv, { from: "user" });
  } catch (error) {
    failure = error instanceof AdaptersWanted ? await showAdapters(start({})) : error;
  }
  process.exitCode = finish(failure, interrupted, state);
}

/** Lists the GPU adapters. @returns what went wrong, if anything did */
async function showAdapters({ terminal }: CommandContext): Promise<unknown> {
  try {
    const { listAdapters, listingText } = await import("../runtime/devices.ts");
    await terminal.write(`${listingText(await listAdapters())}\n`);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Says what went wrong, if anything did. @returns the exit code */
function finish(
  failure: unknown,
  interrupted: AbortSignal,
  { verbose, terminal = new Terminal() }: { verbose: boolean; terminal?: Terminal },
): number {
  terminal.close();
  // Commander has said what is wrong, or has shown the help that was asked for.
  if (failure instanceof CommanderError) {
    return failure.exitCode === 0 ? 0 : 2;
  }
  if (terminal.broken.reason instanceof BrokenPipe) {
    return 0;
  }
  if (terminal.broken.aborted) {
    terminal.error(`The result cannot be written: ${errorMessage(terminal.broken.reason)}.`);
    return 1;
  }
  if (failure === undefined) {
    return 0;
  }
  const isAbort = failure instanceof ModelComposeError && failure.code === "aborted";
  if (isAbort && interrupted.reason instanceof Interrupted) {
    return interrupted.reason.exitCode;
  }
  terminal.error(failureText(errorInWordsOf(failure, deviceWords), verbose));
  return isWrongUsage(failure) ? 2 : 1;
}

/** Whether what was asked for on the command line cannot be done as it was written, whatever the machine. */
function isWrongUsage(failure: unknown): boolean {
  if (!(failure instanceof ModelComposeError)) {
    return false;
  }
  const { code, parameter } = failure;
  return (
    ["usage", "invalid-input"].includes(code) ||
    (["invalid-argument", "unsupported"].includes(code) && parameter !== undefined)
  );
}

/** All commands with their flags. @param start makes the context of a command from its flags, when one is called */
export function createProgram(start: (flags: GlobalFlags) => CommandContext): Command {
  const program = new Command("model-compose")
    .description("Runs language models from a small YAML file. No Python, no native inference engine.")
    .version(packageJson.version)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText("after", programExamples);
  composeFlags(program);
  commonFlags(program);

  deviceFlags(composeFlags(commonFlags(program.command("run"))))
    .description("run a workflow and print its result")
    .argument("[workflow]", "id of the workflow (default: the default one)")
    .option(
      "-i, --input <input>",
      "input of the workflow: JSON, @FILE, - (stdin), or KEY=VALUE and KEY=@FILE, repeatable (default: {})",
      collect,
    )
    .option("--json", "print the output with usage, timings, seed and warnings, as JSON")
    .option("-o, --output <file>", "write the result to a file instead of stdout")
    .option("--local", "run in this process, also when a server of the project runs")
    .addHelpText("after", runExamples)
    .action(async (workflow: string | undefined, _flags: unknown, command: Command) => {
      const flags = flagsOf<RunFlags & GlobalFlags>(command);
      await run(workflow, flags, start(flags));
    });

  serverCommands(program, start);

  composeFlags(commonFlags(program.command("validate")))
    .description("check compose files: a summary, or every problem at once")
    .addHelpText("after", examples("validate", "validate -f model-compose.yml -f local.yml --lenient"))
    .action(async (_flags: unknown, command: Command) => {
      const flags = flagsOf<GlobalFlags>(command);
      await validate(flags, start(flags).terminal);
    });

  deviceFlags(generateFlags(modelFlags(samplingFlags(commonFlags(program.command("generate"))))))
    .description("generate text with a model, without a compose file")
    .argument("<prompt>", 'the prompt; "-" reads it from stdin')
    .option("--chat", "give the prompt to the model as a message, through its chat template")
    .option("--system <text>", "with --chat: what the model is told before it")
    .option("--local", "load the model in this process, also when a running server has it")
    .addHelpText("after", generateExamples)
    .action(async (prompt: string, _flags: unknown, command: Command) => {
      const flags = flagsOf<GenerateFlags & GlobalFlags & { readonly model?: string }>(command);
      if (flags.file !== undefined) {
        command.error("error: generate takes no compose file (-f)");
      }
      if (flags.model === undefined) {
        command.error(
          "error: generate needs a model: --model tales is the bundled one to try, --model HuggingFaceTB/SmolLM3-3B is fetched",
        );
      }
      await generate(prompt, flags, start(flags));
    });
  chatCommand(program, start);
  firstCommands(program, start);
  modelsCommands(program, start);
  addCompletion(program);
  return program;
}

function chatCommand(program: Command, start: (flags: GlobalFlags) => CommandContext): void {
  deviceFlags(modelFlags(samplingFlags(composeFlags(commonFlags(program.command("chat"))))))
    .description("talk with a model in the terminal; in a pipe: answer one message")
    .argument("[model]", "a model with a chat template, as --model has it; with -f: a component of the file")
    .option("--system <text>", "what the model is told before everything")
    .option("--resume [id]", "go on with a kept conversation (default: the last one)")
    .option("--no-history", "keep neither the conversation nor what is entered")
    .addHelpText("after", chatExamples)
    .action(async (model: string | undefined, _flags: unknown, command: Command) => {
      const { chat } = await import("./commands/chat.ts");
      const flags = flagsOf<ChatFlags & GlobalFlags>(command);
      await chat(model, flags, start(flags));
    });
}

/** Adds the commands around servers; what they need is loaded when one is called. */
function serverCommands(program: Command, start: (flags: GlobalFlags) => CommandContext): void {
  serveFlags(program.command("up"))
    .description("serve the workflows: HTTP API and web UI")
    .addHelpText("after", upExamples)
    .action(async (_flags: unknown, command: Command) => {
      const { up } = await import("./commands/up.ts");
      const flags = flagsOf<ServeFlags & GlobalFlags>(command);
      await up(flags, start(flags));
    });

  serveFlags(program.command("start"))
    .description("as up, with models that are on this machine already")
    .addHelpText("after", examples("start", "start -f model-compose.yml -f local.yml --detach --wait"))
    .action(async (_flags: unknown, command: Command) => {
      const commands = await import("./commands/start.ts");
      const flags = flagsOf<ServeFlags & GlobalFlags>(command);
      await commands.start(flags, start(flags));
    });

  projectFlags(program.command("stop"))
    .description("end the project's server, and wait until it is gone")
    .option("--now", "do not wait for its runs to end")
    .addHelpText("after", examples("stop", "stop -f story.yml", "stop --model tales"))
    .action(async (_flags: unknown, command: Command) => {
      const { stop } = await import("./commands/stop.ts");
      const flags = flagsOf<StopFlags & GlobalFlags>(command);
      await stop(flags, start(flags));
    });

  projectFlags(program.command("down"))
    .description("as stop, and remove the server's log")
    .option("--now", "do not wait for its runs to end")
    .addHelpText("after", examples("down"))
    .action(async (_flags: unknown, command: Command) => {
      const { down } = await import("./commands/down.ts");
      const flags = flagsOf<StopFlags & GlobalFlags>(command);
      await down(flags, start(flags));
    });

  commonFlags(program.command("ps"))
    .description("list the servers that run, of all projects")
    .option("--json", "as JSON")
    .addHelpText("after", examples("ps", "ps --json"))
    .action(async (_flags: unknown, command: Command) => {
      const { ps } = await import("./commands/ps.ts");
      const flags = flagsOf<PsFlags & GlobalFlags>(command);
      await ps(flags, start(flags));
    });

  projectFlags(program.command("logs"))
    .description("show the log of the project's detached server")
    .option("--follow", "go on with what comes")
    .addOption(new Option("--tail <n>", "only the last lines").argParser(countFlag))
    .addHelpText("after", examples("logs", "logs --follow"))
    .action(async (_flags: unknown, command: Command) => {
      const { logs } = await import("./commands/logs.ts");
      const flags = flagsOf<LogsFlags & GlobalFlags>(command);
      await logs(flags, start(flags));
    });
}

/** The flags by which a project is named: its compose files, or the model that it is. */
function projectFlags(command: Command): Command {
  return modelFlag(composeFlags(commonFlags(command)), ": the server of a model without a compose file");
}

function serveFlags(command: Command): Command {
  const named = modelFlag(composeFlags(commonFlags(command)), ": served without a compose file");
  return deviceFlags(heldFlags(named, "as much as its calls may need, at most what the model has"))
    .option("-d, --detach", "in a process of its own; returns when the sockets listen")
    .option("--wait", "with --detach: return when the models are loaded")
    .addOption(new Option("--port <n>", "port of the API instead of the file's").argParser(portFlag))
    .option("--host <host>", "address to listen on instead of the file's, such as 0.0.0.0")
    .option("--no-ui", "without the web UI")
    .option("--allowed-host <name>", "another name of this server, such as a proxy's; repeatable", collect);
}

function generateFlags(command: Command): Command {
  return command
    .option("--min-tokens <n>", "no end of text before this many new tokens", numberFlag)
    .option("--max-prompt-tokens <n>", "keep only the end of a longer prompt", numberFlag)
    .option("--num-beams <n>", "beam search with n sequences at once; 1 is off", numberFlag)
    .option("--ignore-eos", "go on past the end of text")
    .option("--json-schema <file>", "the text is JSON that the JSON schema in this file accepts")
    .option("--json-object", "the text is a JSON object")
    .option("--regex <pattern>", "the text is one that this regular expression matches whole")
    .option("--choice <text>", "the text is this one, repeatable: one of these", collect)
    .option(
      "--logprobs <n>",
      "with --json: how likely each token was, and the n likeliest in its place",
      numberFlag,
    )
    .option("--json", "print one JSON object with text, tokens, timings and seed");
}

const programExamples = `
Examples:
  model-compose run --input '{"prompt": "Once upon a time"}'
  model-compose generate --model HuggingFaceTB/SmolLM3-3B "Once upon a time"
  model-compose up --detach
  model-compose validate -f model-compose.yml -f local.yml`;

const upExamples = `
Examples:
  model-compose up
  model-compose up --model HuggingFaceTB/SmolLM2-135M-Instruct
  model-compose up --detach --wait && model-compose run --input '{"prompt": "Once upon a time"}'
  MODEL_COMPOSE_API_KEY=secret model-compose up -f public.yml`;

const runExamples = `
Examples:
  model-compose run --input '{"prompt": "Once upon a time"}'
  model-compose run -f story.yml -i '{"prompt": "Once upon a time"}' -o story.json
  model-compose run -e TEMPERATURE=0.2 my-workflow`;

const chatExamples = `
Examples:
  model-compose chat HuggingFaceTB/SmolLM2-135M-Instruct
  model-compose chat -f model-compose.yml --system "Answer in one sentence."
  model-compose chat --resume
  echo "Why is the sky blue?" | model-compose chat -m HuggingFaceTB/SmolLM3-3B > answer.txt`;

const generateExamples = `
Examples:
  model-compose generate -m ./models/tales "Once upon a time" --max-tokens 100
  model-compose generate -m HuggingFaceTB/SmolLM3-3B "The capital of France is" --greedy --json
  model-compose generate -m HuggingFaceTB/SmolLM3-3B --chat "Why is the sky blue?" --system /no_think
  cat prompt.txt | model-compose generate -m ./models/tales - --temperature 0.7 --top-p 0.9 --seed 1`;
