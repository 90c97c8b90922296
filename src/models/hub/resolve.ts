/**
 * Finds the directory of what a user calls a model: a local path, a bundled model, or a Hugging Face repository in the
 * local cache, into which it is fetched where it is not complete there.
 */
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ModelComposeError } from "../../base/errors.ts";
import type { LoadReports } from "../load-options.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { fileStatus, isDirectory } from "../../runtime/platform/files.ts";
import { CachedRepository, cachedModels, type Gaps, type Requirement } from "./cache.ts";
import {
  expandHome,
  hubCacheDirectory,
  hubEndpoint,
  hubToken,
  offlineSetting,
  type Environment,
} from "./environment.ts";
import type { FetchOptions } from "./fetch-model.ts";
import type { HubOptions } from "./options.ts";
import { meantModel, suggestion } from "../families/known-models.ts";
import { checkRepositoryId, ggufError, checkRevision, DEFAULT_REVISION, howToName } from "./repository.ts";

export interface ResolveOptions extends HubOptions, LoadReports {
  /** What the model is for, and so what must be there. Default "model": configuration, weights and tokenizer. */
  requires?: Requirement;
  /** Variables of the environment. Default: process.env. */
  env?: Environment;
  /** Folder that relative paths are relative to. Default: the working directory. */
  cwd?: string;
  /** Called before the weights of a model are fetched; throws for one that will not do. */
  check?: FetchOptions["check"];
  /** Times and limits of talking to the hub; for tests. */
  transfer?: Pick<FetchOptions, "limits" | "lockTimes" | "freeBytes">;
}

/** Models that are part of this package, in its folder models/. */
export const BUNDLED_MODELS: readonly string[] = ["tales"];

/**
 * The absolute path of a model's directory. A local path begins with "./", "../", "~/", "/" or a drive (on
 * Windows also with backslashes); a bare name of an existing directory is one too; then come the names of bundled
 * models ("tales"); anything else is a repository id "org/name" on the hub. A repository that is complete in the cache
 * is used as it is, without a look at the network; what is missing is fetched.
 *
 * @throws ModelComposeError "not-found" (with every place that was looked at), "invalid-argument" for what is neither a
 *   path nor an id, "unsupported" for a model that does not run here, "download" when fetching fails; AbortError
 */
export async function resolveModelDirectory(model: string, options: ResolveOptions = {}): Promise<string> {
  const found = await locateModel(model, options);
  return found.kind === "hub" ? snapshotOf(found.repository, found.local, options) : found.directory;
}

/** What a name stands for. */
export type ModelLocation =
  | { readonly kind: "local" | "bundled"; readonly directory: string }
  | {
      readonly kind: "hub";
      readonly repository: CachedRepository;
      /** The path that was looked at before, and is not there. */
      readonly local: string;
    };

/** Tells paths, bundled models and repositories apart; looks at no file of a repository. @throws ModelComposeError */
export async function locateModel(
  model: string,
  options: Pick<ResolveOptions, "cwd" | "env" | "cacheDirectory"> = {},
): Promise<ModelLocation> {
  const { cwd = process.cwd(), env = process.env } = options;
  if (model.trim() === "") {
    throw new ModelComposeError(
      "invalid-argument",
      "The model is an empty string; expected a path or an id.",
      {
        remedy: howToName(),
      },
    );
  }
  const local = resolve(cwd, expandHome(model, env));
  if (isPath(model)) {
    return { kind: "local", directory: await requireDirectory(model, local) };
  }
  const status = await fileStatus(local);
  if (status !== undefined) {
    return { kind: "local", directory: await requireDirectory(model, local) };
  }
  if (BUNDLED_MODELS.includes(model)) {
    return { kind: "bundled", directory: bundledModelDirectory(model) };
  }
  checkRepositoryId(model, local);
  return { kind: "hub", repository: new CachedRepository(cacheDirectoryOf(options), model), local };
}

/** The absolute path of the hub cache that options or the environment name. */
export function cacheDirectoryOf({
  cwd = process.cwd(),
  env = process.env,
  cacheDirectory,
}: Pick<ResolveOptions, "cwd" | "env" | "cacheDirectory">): string {
  return resolve(
    cwd,
    cacheDirectory === undefined ? hubCacheDirectory(env) : expandHome(cacheDirectory, env),
  );
}

/** The options of fetching, from the given ones and the environment. */
export async function fetchOptions(options: ResolveOptions): Promise<FetchOptions> {
  const { env = process.env, requires = "model", signal, onProgress, onNotice, check, transfer } = options;
  return {
    ...transfer,
    revision: options.revision ?? DEFAULT_REVISION,
    requires,
    endpoint: hubEndpoint(env),
    token: await hubToken(options.token, env),
    signal,
    onProgress,
    onNotice,
    check,
  };
}

/** The words by which messages say what forbids the network; undefined when nothing does. */
export function networkBan({
  env = process.env,
  localFilesOnly = false,
}: ResolveOptions): string | undefined {
  return localFilesOnly
    ? "only local files were asked for (start, or local_files_only)"
    : offlineSetting(env);
}

async function snapshotOf(
  repository: CachedRepository,
  local: string,
  options: ResolveOptions,
): Promise<string> {
  const { revision = DEFAULT_REVISION, requires = "model" } = options;
  checkRevision(revision);
  const commit = await repository.commitOf(revision);
  const gaps = commit === undefined ? undefined : await repository.gaps(commit, requires);
  const directory = repository.snapshotDirectory(commit ?? revision);
  const isUsable = gaps?.missing.length === 0;
  if (isUsable && gaps.unknown.length === 0) {
    return directory;
  }

  const ban = networkBan(options);
  if (ban !== undefined) {
    if (isUsable) {
      return directory;
    }
    throw await notOnThisMachine(repository, { revision, directory, local, gaps, ban });
  }
  // What is complete in the cache starts without this code, and without the library behind it.
  const { fetchModel } = await import("./fetch-model.ts");
  try {
    return (await fetchModel(repository, await fetchOptions(options))).directory;
  } catch (error) {
    // The cache may well have all there is: only the hub could tell.
    if (!isUsable || !(error instanceof ModelComposeError) || error.code !== "download") {
      throw error;
    }
    options.onNotice?.(
      `${error.message} The model is used as it is in the cache, without ${gaps.unknown.join(", ")}.`,
    );
    return directory;
  }
}

function bundledModelDirectory(name: string): string {
  // This file runs from src/models/hub/, or bundled from dist/.
  const models = import.meta.url.endsWith(".ts") ? "../../../models/" : "../models/";
  return fileURLToPath(new URL(models + name, import.meta.url));
}

function isPath(model: string): boolean {
  if (/^[A-Za-z]:[\\/]/.test(model)) {
    return true;
  }
  const separator = process.platform === "win32" ? /[\\/]/ : /\//;
  const [first = ""] = model.split(separator);
  return ["", ".", "..", "~"].includes(first);
}

async function requireDirectory(model: string, path: string): Promise<string> {
  const status = await fileStatus(path);
  if (status?.kind === "directory") {
    return path;
  }
  if (status !== undefined && /\.gguf$/i.test(path)) {
    throw ggufError(`"${model}" is a GGUF file`);
  }
  throw status === undefined
    ? new ModelComposeError("not-found", `No model at "${model}": "${path}" does not exist.`, {
        remedy: "Check the path.",
      })
    : new ModelComposeError("not-found", `No model at "${model}": "${path}" is not a directory.`, {
        remedy: `Name the directory that holds the model's files, "${dirname(path)}" perhaps.`,
      });
}

async function notOnThisMachine(
  repository: CachedRepository,
  about: { revision: string; directory: string; local: string; gaps: Gaps | undefined; ban: string },
): Promise<ModelComposeError> {
  const { revision, directory, local, gaps, ban } = about;
  const { id } = repository;
  const isThere = await isDirectory(directory);
  if (isThere && gaps !== undefined) {
    return new ModelComposeError(
      "not-found",
      `The model "${id}" is incomplete in the cache: "${directory}" lacks ${gaps.missing.join(", ")}; ` +
        `the network is not used: ${ban}.`,
      { remedy: `With the network, "model-compose models pull ${id}" completes it.` },
    );
  }
  const cached = (await cachedModels(repository.cacheDirectory)).filter((name) => name !== id);
  const near = nearestName(id, cached);
  const revisions = await repository.commits();
  return new ModelComposeError(
    "not-found",
    `The model "${id}"${revision === DEFAULT_REVISION ? "" : ` at revision "${revision}"`} is not on this ` +
      `machine, and the network is not used: ${ban}. Looked for the directories "${local}" and "${directory}".` +
      (near === undefined ? "" : ` The cache has "${near}".`) +
      (revisions.length === 0 ? "" : ` The cache has other revisions of it: ${revisions.join(", ")}.`),
    {
      remedy:
        `${suggestionFor(id)}With the network, "model-compose models pull ${meantModel(id)}" fetches it; or put its files into a ` +
        `directory and give the path ("./${basename(id)}").`,
    },
  );
}

function suggestionFor(id: string): string {
  const near = suggestion(id);
  return near === undefined ? "" : `${near} `;
}
