import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline/promises";
import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import { locateModel } from "../../models/hub/resolve.ts";
import { checkModelAtHand } from "../../models/model-purpose.ts";
import { FIRST_PROMPTS, LAST_PORT, starterFile, type StarterChoices } from "../starter-file.ts";
import type { CommandContext } from "./run.ts";

export interface InitFlags {
  readonly model?: string;
  readonly task?: StarterChoices["task"];
  readonly port?: number;
  /** Whether nothing is asked. */
  readonly yes?: boolean;
  /** Whether a file that is there is overwritten. */
  readonly force?: boolean;
}

const FILE = "model-compose.yml";
/** The names by which commands find a compose file. */
const TAKEN = [FILE, "model-compose.yaml"];
const DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct";
const DEFAULT_PORT = 8080;

/**
 * `model-compose init`: writes a commented compose file into the working directory. At a terminal and without `--yes` it asks
 * what no flag says.
 *
 * @throws ModelComposeError "usage" for a file that is there, for what is asked where nobody can answer, and for a file that
 *   cannot be written; what is wrong with a model that is at hand; AbortError
 */
export async function init(flags: InitFlags, context: CommandContext): Promise<void> {
  const taken = TAKEN.find((name) => existsSync(name));
  if (taken !== undefined && flags.force !== true) {
    throw new ModelComposeError("usage", `There is a ${taken} in ${process.cwd()} already.`, {
      remedy: `Go to another folder, or add --force${taken === FILE ? " to overwrite it" : `: ${FILE} then goes before it`}.`,
    });
  }
  const choices = await choose(flags, context);
  try {
    await writeFile(FILE, starterFile(choices), { flag: flags.force === true ? "w" : "wx" });
  } catch (error) {
    throw new ModelComposeError("usage", `${path.resolve(FILE)} cannot be written: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  context.terminal.note(
    [
      `Wrote ${FILE}. Next:`,
      `  model-compose run --input prompt="${FIRST_PROMPTS[choices.task]}"`,
      ...(choices.task === "chat" ? [`  model-compose chat -f ${FILE}`] : []),
      "  model-compose up",
    ].join("\n"),
  );
}

/** Takes what flags say, and asks for the rest. */
async function choose(flags: InitFlags, { terminal, signal }: CommandContext): Promise<StarterChoices> {
  const isAsking =
    flags.yes !== true && [flags.model, flags.task, flags.port].some((value) => value === undefined);
  if (!isAsking) {
    const { model = DEFAULT_MODEL, port = DEFAULT_PORT } = flags;
    return { model, task: await checkTask(model, flags.task), port: checkPort(port) };
  }
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ModelComposeError("usage", "init asks three questions, and nobody is at the terminal.", {
      remedy: "Add --yes: what --model, --task and --port do not say is the default.",
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-C belongs to the command, which stops cleanly.
  lines.on("SIGINT", () => process.emit("SIGINT"));
  const question = async (text: string): Promise<string> => {
    try {
      return await lines.question(text, { signal });
    } catch (error) {
      if (signal.aborted) {
        throw new AbortError(signal.reason);
      }
      // Ctrl-D ends what is typed.
      throw new ModelComposeError("usage", "A question has no answer: nothing is written.", { cause: error });
    }
  };
  const ask: Ask = async (text, fallback, read) => {
    for (;;) {
      const answer = (await question(`${text} [${fallback}] `)).trim();
      try {
        return await read(answer === "" ? fallback : answer);
      } catch (error) {
        terminal.say(errorMessage(error));
      }
    }
  };
  try {
    return await askAll(flags, ask);
  } finally {
    lines.close();
  }
}

/** Asks until an answer can be read; `read` throws, with a sentence for people, where it cannot. */
type Ask = <T>(text: string, fallback: string, read: (answer: string) => T | Promise<T>) => Promise<T>;

async function askAll(flags: InitFlags, ask: Ask): Promise<StarterChoices> {
  let suggested: StarterChoices["task"] = "chat";
  const readModel = async (model: string): Promise<string> => {
    suggested = await checkTask(model, flags.task);
    return model;
  };
  const model =
    flags.model === undefined
      ? await ask(
          "Which model? (A repository on the hub, a folder, or tales, which comes along)",
          DEFAULT_MODEL,
          readModel,
        )
      : await readModel(flags.model);
  const task =
    flags.task ??
    (await ask("What should it do: chat, or go on with a text? (chat, text)", suggested, (answer) => {
      if (answer !== "chat" && answer !== "text") {
        throw new ModelComposeError("usage", `It is chat or text; found "${answer}".`);
      }
      return checkTask(model, answer);
    }));
  const port =
    flags.port ??
    (await ask("On which port should its server listen?", String(DEFAULT_PORT), (answer) =>
      checkPort(Number(answer)),
    ));
  return { model, task, port: checkPort(port) };
}

/**
 * The task of a model: the one that is wanted, else a chat where that is possible. A model that is not on this machine is not
 * asked.
 *
 * @throws ModelComposeError for a model that does not run here, or not as a chat
 */
async function checkTask(
  model: string,
  wanted: StarterChoices["task"] | undefined,
): Promise<StarterChoices["task"]> {
  // A folder that is not there yet is a mistake, a repository may come later.
  await locateModel(model);
  if (!(await checkModelAtHand(model, {}))) {
    return wanted ?? "chat";
  }
  if (wanted === "text") {
    return wanted;
  }
  try {
    await checkModelAtHand(model, { chat: true });
    return "chat";
  } catch (error) {
    if (wanted === undefined) {
      return "text";
    }
    throw new ModelComposeError(
      "usage",
      `The model "${model}" has no chat template: it goes on with texts.`,
      {
        remedy:
          "Choose the task text, or a model that was tuned for conversations, whose name mostly ends in -Instruct.",
        cause: error,
      },
    );
  }
}

/** @throws ModelComposeError "usage" for what is no port, or has none behind it for the page */
function checkPort(port: number): number {
  if (Number.isSafeInteger(port) && port >= 1 && port <= LAST_PORT) {
    return port;
  }
  throw new ModelComposeError(
    "usage",
    `The port is an integer in 1 .. ${LAST_PORT}; found ${port}. The page has the next one.`,
  );
}
