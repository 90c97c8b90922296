/**
 * From what a user calls a model to the directory that holds it: a local path, or a Hugging Face repository that
 * is in the local cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Nothing is downloaded.
 */
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { missingWeightFiles } from "../runtime/checkpoint.ts";
import { ModelComposeError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest-name.ts";
import { fileStatus, isDirectory, isFile, listDirectory, readSmallFile } from "../runtime/platform/files.ts";
import { CONFIG_FILE } from "./config.ts";

export interface ResolveOptions {
  /** The hub cache (what HF_HUB_CACHE names). Default: from the environment. */
  cacheDirectory?: string;
  /** Branch, tag or commit of a hub repository. Default "main". */
  revision?: string;
  /** Must the cached snapshot hold config and weights, or only be there? Default "model". */
  requires?: "model" | "any";
  /** Default process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** What relative paths are relative to. Default: the working directory. */
  cwd?: string;
}

const DEFAULT_REVISION = "main";
const EXAMPLE_ID = "HuggingFaceTB/SmolLM3-3B";

/** Models that are part of this package, in its folder models/. */
const BUNDLED_MODELS: readonly string[] = ["tales"];

/** One part of a repository id, as the hub allows it: no separator at either end. */
const ID_PART = /^[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?$/;

/**
 * The absolute path of a model's directory. A local path begins with "./", "../", "~/", "/" or a drive (on
 * Windows also with backslashes); a bare name of an existing directory is one too; then come the names of bundled
 * models ("tales"); anything else is a repository id "org/name" in the hub cache.
 *
 * Throws "not-found" (with every place that was looked at, and what is missing of an incomplete snapshot) or
 * "invalid-argument" for what is neither a path nor an id.
 */
export async function resolveModelDirectory(model: string, options: ResolveOptions = {}): Promise<string> {
  const { cwd = process.cwd(), env = process.env, revision = DEFAULT_REVISION } = options;
  if (model.trim() === "") {
    throw new ModelComposeError("invalid-argument", "The model is an empty string; expected a path or an id.", {
      remedy: howToName(),
    });
  }
  const local = resolve(cwd, expandHome(model, env));
  if (isPath(model)) return requireDirectory(model, local);
  if (await isDirectory(local)) return local;
  if (BUNDLED_MODELS.includes(model)) return bundledModelDirectory(model);

  checkRepositoryId(model, local);
  checkRevision(revision);
  const cache = resolve(cwd, options.cacheDirectory ?? hubCacheDirectory(env));
  const snapshot = await findSnapshot(cache, model, revision, local);
  if (options.requires !== "any") await requireComplete(snapshot, model);
  return snapshot;
}

/** The hub cache that the environment names, with the precedence of the huggingface_hub library. */
export function hubCacheDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  // An empty variable counts as unset.
  const cache = env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"];
  if (cache) return expandHome(cache, env);
  const home = env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homeDirectory(env), ".cache"), "huggingface");
  return join(expandHome(home, env), "hub");
}

function bundledModelDirectory(name: string): string {
  const models = import.meta.url.endsWith(".ts") ? "../../models/" : "../models/"; // from src/models/, from dist/
  return fileURLToPath(new URL(models + name, import.meta.url));
}

function isPath(model: string): boolean {
  if (/^[A-Za-z]:[\\/]/.test(model)) return true;
  const separator = process.platform === "win32" ? /[\\/]/ : /\//;
  const [first = ""] = model.split(separator);
  return ["", ".", "..", "~"].includes(first);
}

async function requireDirectory(model: string, path: string): Promise<string> {
  const status = await fileStatus(path);
  if (status?.kind === "directory") return path;
  throw status === undefined
    ? new ModelComposeError("not-found", `No model at "${model}": "${path}" does not exist.`, {
        remedy: "Check the path.",
      })
    : new ModelComposeError("not-found", `No model at "${model}": "${path}" is not a directory.`, {
        remedy: `Name the directory that holds the model's files, "${dirname(path)}" perhaps.`,
      });
}

function checkRepositoryId(model: string, local: string): void {
  const parts = model.split("/");
  const isId =
    parts.length === 2 && parts.every((part) => ID_PART.test(part) && !/--|\.\./.test(part)) && model.length <= 96;
  if (isId) return;
  const url = /^https?:\/\/[^/]+\/([^/?#]+\/[^/?#]+)/.exec(model)?.[1];
  const problem = model.includes("://")
    ? "is a URL"
    : `is neither a directory ("${local}" does not exist) nor a repository id`;
  throw new ModelComposeError("invalid-argument", `The model "${model}" ${problem}; expected a path or an id.`, {
    remedy: url === undefined ? howToName() : `Write "${url}".`,
  });
}

function howToName(): string {
  return `Write a path that begins with "./" or "/", "org/name" as in "${EXAMPLE_ID}", or "tales" (bundled).`;
}

/** A revision is a file name below refs/ and a directory name below snapshots/: it must stay there. */
function checkRevision(revision: string): void {
  if (/^[\w.+-]+(\/[\w.+-]+)*$/.test(revision) && !revision.split("/").some((part) => /^\.+$/.test(part))) return;
  throw new ModelComposeError(
    "invalid-argument",
    `The revision "${revision}" is not the name of a branch, a tag or a commit.`,
    { remedy: `Write for example "${DEFAULT_REVISION}".` },
  );
}

async function findSnapshot(cache: string, model: string, revision: string, local: string): Promise<string> {
  const repository = join(cache, `models--${model.replace("/", "--")}`);
  const reference = join(repository, "refs", ...revision.split("/"));
  const commit = (await isFile(reference)) ? await readReference(reference) : revision;
  const snapshot = join(repository, "snapshots", commit);
  if (await isDirectory(snapshot)) return snapshot;

  const cached = (await listDirectory(cache))
    .filter((name) => name.startsWith("models--"))
    .map((name) => name.slice("models--".length).replace("--", "/"));
  const near = cached.includes(model) ? undefined : nearestName(model, cached);
  const revisions = await listDirectory(join(repository, "snapshots"));
  throw new ModelComposeError(
    "not-found",
    `The model "${model}"${revision === DEFAULT_REVISION ? "" : ` at revision "${revision}"`} is not on this ` +
      `machine. Looked for the directories "${local}" and "${snapshot}".` +
      (near === undefined ? "" : ` The cache has "${near}".`) +
      (revisions.length === 0 ? "" : ` The cache has other revisions of it: ${revisions.join(", ")}.`),
    {
      remedy:
        `This release does not download: fetch it with "hf download ${model}", ` +
        `or put its files into a directory and give the path ("./${basename(model)}").`,
    },
  );
}

async function readReference(path: string): Promise<string> {
  const commit = new TextDecoder().decode(await readSmallFile(path)).trim();
  if (/^\w+$/.test(commit)) return commit;
  throw new ModelComposeError("not-found", `"${path}" holds "${commit.slice(0, 80)}"; expected a commit hash.`, {
    remedy: "The cache is damaged: fetch the model again.",
  });
}

/** An interrupted download leaves a snapshot without some of its files, or with links that lead nowhere. */
async function requireComplete(snapshot: string, model: string): Promise<void> {
  const missing = (await isFile(join(snapshot, CONFIG_FILE))) ? [] : [CONFIG_FILE];
  missing.push(...(await missingWeightFiles(snapshot)));
  if (missing.length === 0) return;
  throw new ModelComposeError(
    "not-found",
    `The model "${model}" is incomplete in the cache: "${snapshot}" lacks ${missing.join(", ")}.`,
    { remedy: `Complete the download with "hf download ${model}".` },
  );
}

function expandHome(path: string, env: Readonly<Record<string, string | undefined>>): string {
  return /^~($|[\\/])/.test(path) ? join(homeDirectory(env), path.slice(1)) : path;
}

function homeDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return (process.platform === "win32" ? env["USERPROFILE"] : env["HOME"]) || homedir();
}
