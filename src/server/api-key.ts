import { keepSecret } from "../base/secrets.ts";
import { readFile } from "node:fs/promises";
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import type { ControllerDefinition } from "../compose/definition/definition.ts";
import type { Environment } from "../compose/template/environment.ts";

const variable = "MODEL_COMPOSE_API_KEY";

/**
 * The key that requests must show: the file's `api_key`, else what `api_key_file` holds, else MODEL_COMPOSE_API_KEY.
 *
 * @returns undefined when there is none
 * @throws ModelComposeError `invalid-config` when the key's file cannot be read, or the key is empty
 */
export async function findApiKey(
  { apiKey, apiKeyFile }: Pick<ControllerDefinition, "apiKey" | "apiKeyFile">,
  environment: Environment,
): Promise<string | undefined> {
  if (apiKey !== undefined) {
    return usable(apiKey, "controller.api_key");
  }
  if (apiKeyFile !== undefined) {
    return usable(await readKey(apiKeyFile), "controller.api_key_file");
  }
  const given = environment.get(variable);
  return given === undefined ? undefined : usable(given, variable);
}

/** The variables of this process. */
export function processEnvironment(): Environment {
  return new Map(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

async function readKey(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new ModelComposeError(
      "invalid-config",
      `The API key's file cannot be read: ${errorMessage(error)}.`,
      {
        cause: error,
        remedy: "Name a file that this user may read in controller.api_key_file.",
      },
    );
  }
}

/** The key without the space around it; an error where it holds characters that a header cannot carry. */
function usable(key: string, where: string): string {
  const trimmed = key.trim();
  if (/^[\x21-\x7e]+$/.test(trimmed)) {
    keepSecret(trimmed);
    return trimmed;
  }
  throw new ModelComposeError(
    "invalid-config",
    `The API key in ${where} is ${trimmed === "" ? "empty" : "not plain text"}; expected ASCII without spaces.`,
    { remedy: "Take a long random text, such as 32 hexadecimal digits." },
  );
}
