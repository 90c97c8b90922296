/** Whether a model will do for what it is wanted for, which its small files tell before its weights are read. */
import { ModelComposeError } from "../base/errors.ts";
import type { Architecture } from "../runtime/generation/types.ts";
import type { Program } from "../runtime/program.ts";
import { loadChatTemplates } from "./chat/find-template.ts";
import { describeModel } from "./describe-model.ts";
import type { HubOptions } from "./hub/options.ts";
import { resolveModelDirectory } from "./hub/resolve.ts";
import type { LoadReports, ModelRequirements } from "./load-options.ts";

/** Refuses a model that will not do for what it is loaded for, which its small files alone tell. */
export async function requirePurpose(
  { architecture, family }: Program,
  directory: string,
  model: string,
  wanted: ModelRequirements,
): Promise<void> {
  requireArchitecture(architecture, wanted.architecture, model);
  if (wanted.family !== undefined && wanted.family !== family) {
    throw new ModelComposeError(
      "invalid-config",
      `The model "${model}" is of the family "${family}" by its configuration; expected "${wanted.family}".`,
      { parameter: "architecture", remedy: "Leave the architecture out: the model's configuration tells." },
    );
  }
  // A template of any name will do: which one is chosen depends on the conversation.
  if (wanted.chat === true) {
    (await loadChatTemplates(directory)).choose(undefined, true);
  }
}

/**
 * Whether a model has a chat template, and so answers conversations. Its small files are fetched where they are not on this
 * machine.
 *
 * @param pathOrHubId as for `loadModel`
 * @throws what `resolveModelDirectory` throws; AbortError
 */
export async function hasChatTemplate(
  pathOrHubId: string,
  options: HubOptions & LoadReports = {},
): Promise<boolean> {
  const directory = await resolveModelDirectory(pathOrHubId, { ...options, requires: "tokenizer" });
  return (await loadChatTemplates(directory)).hasAny;
}

function requireArchitecture(found: Architecture, wanted: Architecture | undefined, model: string): void {
  if (wanted === undefined || wanted === found) {
    return;
  }
  const is = { causal: "a decoder (causal)", seq2seq: "an encoder–decoder (seq2seq)" };
  throw new ModelComposeError(
    "invalid-config",
    `The model "${model}" is ${is[found]} by its configuration; expected ${is[wanted]}.`,
    {
      parameter: "architecture",
      remedy: `Leave the architecture out or set it to "${found}".`,
    },
  );
}

/**
 * Checks a model whose files are on this machine, without the network.
 *
 * @param pathOrHubId as for `loadModel`
 * @returns whether its files are at hand
 * @throws what `loadModel` throws for a configuration that does not run here, or a model that does not meet the requirements
 */
export async function checkModelAtHand(
  pathOrHubId: string,
  options: Pick<HubOptions, "revision" | "cacheDirectory"> & ModelRequirements,
): Promise<boolean> {
  const { revision, cacheDirectory, ...wanted } = options;
  let directory: string;
  try {
    directory = await resolveModelDirectory(pathOrHubId, {
      revision,
      cacheDirectory,
      localFilesOnly: true,
      requires: "tokenizer",
    });
  } catch (error) {
    if (error instanceof ModelComposeError && error.code === "not-found") {
      return false;
    }
    throw error;
  }
  await requirePurpose((await describeModel(directory)).program, directory, pathOrHubId, wanted);
  return true;
}
