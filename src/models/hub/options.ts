/** What a caller may say of the Hugging Face hub and its cache. */
import { inspect } from "node:util";
import { ModelComposeError } from "../../base/errors.ts";

/** Where on the Hugging Face hub, and in its cache, a model is. */
export interface HubOptions {
  /** Branch, tag or commit of a repository on the Hugging Face hub. Default "main". */
  revision?: string;
  /** Token to show to the hub. Default: HF_TOKEN, or what "hf auth login" stored. */
  token?: string;
  /** Folder of the hub's cache of models. Default: HF_HUB_CACHE, or "hub" in HF_HOME (~/.cache/huggingface). */
  cacheDirectory?: string;
  /** True: use no network, as with HF_HUB_OFFLINE=1. Default false: what is not in the cache is fetched. */
  localFilesOnly?: boolean;
}

const OPTION_NAMES: Readonly<Record<keyof HubOptions, true>> = {
  revision: true,
  token: true,
  cacheDirectory: true,
  localFilesOnly: true,
};

/** The names of the hub's options, in the order in which they are documented. */
export const HUB_OPTION_NAMES: readonly string[] = Object.keys(OPTION_NAMES);

/**
 * Checks that the values are of the right kind; what they name is checked where it is looked for. Other options in the
 * object are not looked at. A token is never shown.
 *
 * @throws ModelComposeError "invalid-argument"
 */
export function checkHubOptions(options: HubOptions): void {
  for (const name of ["revision", "token", "cacheDirectory"] as const) {
    const value: unknown = options[name];
    // A variable of the environment that is empty is a token that is not there.
    if (value === undefined || (typeof value === "string" && (name === "token" || value.trim() !== ""))) {
      continue;
    }
    const found = name === "token" ? "" : `; found ${inspect(value)}`;
    throw new ModelComposeError("invalid-argument", `The option "${name}" must be a text${found}.`, {
      remedy: "Correct it or leave it out.",
      parameter: name,
    });
  }
  const localOnly: unknown = options.localFilesOnly;
  if (localOnly === undefined || typeof localOnly === "boolean") {
    return;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The option "localFilesOnly" must be true or false; found ${inspect(localOnly)}.`,
    { remedy: "Correct it or leave it out.", parameter: "localFilesOnly" },
  );
}
