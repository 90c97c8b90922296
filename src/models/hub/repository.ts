/** Names on the hub: what may stand in a path or an address, and what may not. */
import { ModelComposeError } from "../../base/errors.ts";
import { suggestion } from "../families/known-models.ts";

export const DEFAULT_REVISION = "main";
const EXAMPLE_ID = "HuggingFaceTB/SmolLM3-3B";

/** One part of a repository id, as the hub allows it: no separator at either end. */
const ID_PART = /^[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?$/;

/** How a model can be named, for the remedies of errors. */
export function howToName(): string {
  return `Write a path that begins with "./" or "/", "org/name" as in "${EXAMPLE_ID}", or "tales" (bundled).`;
}

/**
 * Checks that a model's name is a repository id, "org/name", or "name" as those of the hub's first years.
 *
 * @param local the path that was looked at before and is not there, for messages
 * @throws ModelComposeError "invalid-argument" for what is no repository id
 */
export function checkRepositoryId(model: string, local: string): void {
  const parts = model.split("/");
  const isId =
    parts.length <= 2 &&
    parts.every((part) => ID_PART.test(part) && !/--|\.\./.test(part)) &&
    model.length <= 96;
  if (isId) {
    return;
  }
  const url = /^https?:\/\/[^/]+\/([^/?#]+\/[^/?#]+)/.exec(model)?.[1];
  const problem = model.includes("://")
    ? "is a URL"
    : `is neither a directory ("${local}" does not exist) nor a repository id`;
  const near = suggestion(model);
  throw new ModelComposeError(
    "invalid-argument",
    `The model "${model}" ${problem}; expected a path or an id.`,
    {
      remedy:
        url !== undefined ? `Write "${url}".` : near === undefined ? howToName() : `${near} ${howToName()}`,
    },
  );
}

/** The error for a model in llama.cpp's format. @param found what was found, as the beginning of a sentence */
export function ggufError(found: string): ModelComposeError {
  return new ModelComposeError(
    "unsupported",
    `${found}: GGUF files are llama.cpp's, and are not read here. Supported: safetensors and pytorch_model.bin beside a ` +
      "config.json.",
    { remedy: "Name the repository, or the folder, that the GGUF file was made from." },
  );
}

/**
 * Checks a revision. It is a file name below refs/ and a directory name below snapshots/, and must stay there.
 *
 * @throws ModelComposeError "invalid-argument"
 */
export function checkRevision(revision: string): void {
  if (/^[\w.+-]+(\/[\w.+-]+)*$/.test(revision) && !revision.split("/").some((part) => /^\.+$/.test(part))) {
    return;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `The revision "${revision}" is not the name of a branch, a tag or a commit.`,
    { remedy: `Write for example "${DEFAULT_REVISION}".` },
  );
}

/** Whether a revision is a git commit in full, whose content never changes. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}
