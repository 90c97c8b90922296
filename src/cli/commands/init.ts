import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline/promises";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { CommandContext } from "./run.ts";
import { starterFile, type StarterChoices } from "../starter-file.ts";

export interface InitFlags {
  readonly model?: string;
  readonly task?: StarterChoices["task"];
  readonly port?: number;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly output?: string;
}

const DEFAULTS: StarterChoices = { model: "HuggingFaceTB/SmolLM2-135M-Instruct", task: "chat", port: 8080 };

/**
 * `model-compose init`: writes a commented compose file. It asks what no flag says, at a terminal and without --yes.
 *
 * @throws ModelComposeError "invalid-argument" for a file that is there, "usage" where nobody can be asked
 */
export async function init(flags: InitFlags, { terminal, signal }: CommandContext): Promise<void> {
  const file = flags.output ?? "model-compose.yml";
  if (existsSync(path.resolve(file)) && flags.force !== true) {
    throw new ModelComposeError("invalid-argument", `${file} is there already.`, {
      remedy: "Write another one (--output FILE), or overwrite it (--force).",
    });
  }
  const choices = flags.yes === true ? { ...DEFAULTS, ...given(flags) } : await ask(flags, signal);
  try {
    await writeFile(path.resolve(file), starterFile(choices), { flag: flags.force === true ? "w" : "wx" });
  } catch (error) {
    throw new ModelComposeError("invalid-argument", `${file} cannot be written: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  const named = flags.output === undefined ? "" : ` -f ${file}`;
  terminal.note(`Wrote ${file}. Next:`);
  terminal.note(`  model-compose run${named} --input prompt="Once upon a time"`);
  terminal.note(`  model-compose up${named}`);
}

function given({ model, task, port }: InitFlags): Partial<StarterChoices> {
  const all = { model, task, port };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

async function ask(flags: InitFlags, signal: AbortSignal): Promise<StarterChoices> {
  const { model, task, port } = flags;
  if (model !== undefined && task !== undefined && port !== undefined) {
    return { model, task, port };
  }
  if (!process.stdin.isTTY) {
    throw new ModelComposeError("usage", "init asks three questions, and there is no terminal.", {
      remedy: "Say --yes, with --model, --task and --port where the defaults will not do.",
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-C belongs to the command, which stops cleanly.
  lines.on("SIGINT", () => process.emit("SIGINT"));
  const question = async (text: string, fallback: string): Promise<string> =>
    (await lines.question(`${text} [${fallback}] `, { signal })).trim() || fallback;
  try {
    return {
      model: model ?? (await question("Which model? tales needs no network.", DEFAULTS.model)),
      task: task ?? (await askTask(question)),
      port: port ?? (await askPort(question)),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}

type Question = (text: string, fallback: string) => Promise<string>;

async function askTask(question: Question): Promise<StarterChoices["task"]> {
  for (;;) {
    const answer = await question(
      "What does it do: answer in a chat, or continue a text (chat, text)?",
      "chat",
    );
    if (answer === "chat" || answer === "text") {
      return answer;
    }
  }
}

async function askPort(question: Question): Promise<number> {
  for (;;) {
    const port = Number(await question("On which port does its server listen?", String(DEFAULTS.port)));
    if (Number.isSafeInteger(port) && port >= 0 && port <= 65_535) {
      return port;
    }
  }
}
