/** The questions of `init`: what no flag says, and no answer that could not be. */
import { ModelComposeError } from "../base/errors.ts";
import { locateModel } from "../models/hub/resolve.ts";
import { checkModelAtHand } from "../models/model-purpose.ts";
import { LAST_PORT, type StarterChoices } from "./starter-file.ts";

const DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct";
const DEFAULT_PORT = 8080;

/**
 * Gets a value from a person.
 *
 * @param fallback the answer of who enters nothing
 * @param read makes the value of an answer; what it throws is shown, and the question asked again
 */
export type Ask = <T>(
  question: string,
  fallback: string,
  read: (answer: string) => T | Promise<T>,
) => Promise<T>;

/** An Ask that takes every default. @throws ModelComposeError what is wrong with one */
export const askNobody: Ask = async (_question, fallback, read) => read(fallback);

/**
 * Asks for what is not given. The task that is suggested is a chat, but for models on this machine that have no chat template.
 *
 * @throws ModelComposeError for given values that cannot be: a model that does not run here, or not as a chat, a port
 */
export async function askChoices(given: Partial<StarterChoices>, ask: Ask): Promise<StarterChoices> {
  if (given.port !== undefined) {
    checkPort(given.port);
  }
  let suggested: StarterChoices["task"] = "chat";
  const readModel = async (model: string): Promise<string> => {
    suggested = await checkTask(model, given.task);
    return model;
  };
  const model =
    given.model === undefined
      ? await ask(
          "Which model? (A repository on the hub, a folder, or tales, which comes along)",
          DEFAULT_MODEL,
          readModel,
        )
      : await readModel(given.model);
  const task =
    given.task ??
    (await ask("What should it do: chat, or go on with a text? (chat, text)", suggested, (answer) => {
      if (answer !== "chat" && answer !== "text") {
        throw new ModelComposeError("usage", `It is chat or text; found "${answer}".`);
      }
      return checkTask(model, answer);
    }));
  const port =
    given.port ??
    (await ask("On which port should its server listen?", String(DEFAULT_PORT), (answer) =>
      checkPort(Number(answer)),
    ));
  return { model, task, port };
}

/**
 * The task of a model: the one that is wanted, else a chat where that is possible. A repository that is not on this machine
 * may be for either.
 */
async function checkTask(
  model: string,
  wanted: StarterChoices["task"] | undefined,
): Promise<StarterChoices["task"]> {
  // A folder that is not there is a mistake, a repository is fetched later.
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
          "Choose the task text (--task text), or a model that was tuned for conversations, whose name mostly ends in -Instruct.",
        cause: error,
      },
    );
  }
}

function checkPort(port: number): number {
  if (Number.isSafeInteger(port) && port >= 1 && port <= LAST_PORT) {
    return port;
  }
  throw new ModelComposeError("usage", `The port is an integer in 1 .. ${LAST_PORT}; found ${port}.`, {
    remedy: "The page has the next one.",
  });
}
