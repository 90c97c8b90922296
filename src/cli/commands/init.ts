import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline/promises";
import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import { FIRST_PROMPTS, starterFile, type StarterChoices } from "../starter-file.ts";
import { schemaPath } from "../schema-path.ts";
import { askChoices, askNobody, type Ask } from "../starter-questions.ts";
import type { CommandContext } from "./run.ts";

export interface InitFlags extends Partial<StarterChoices> {
  /** Whether nothing is asked. */
  readonly yes?: boolean;
  /** Whether a file that is there is overwritten. */
  readonly force?: boolean;
}

const FILE = "model-compose.yml";
/** The names by which commands find a compose file, in this order. */
const TAKEN = [FILE, "model-compose.yaml"];

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
    await writeFile(FILE, starterFile(choices, schemaPath(process.cwd())), {
      flag: flags.force === true ? "w" : "wx",
    });
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

async function choose(flags: InitFlags, { terminal, signal }: CommandContext): Promise<StarterChoices> {
  const { model, task, port } = flags;
  if (flags.yes === true || (model !== undefined && task !== undefined && port !== undefined)) {
    return askChoices({ model, task, port }, askNobody);
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
    return await askChoices({ model, task, port }, ask);
  } finally {
    lines.close();
  }
}
