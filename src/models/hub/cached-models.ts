/** The models in the cache: what there is of each, and whether its files are whole. */
import { join } from "node:path";
import { throwIfAborted } from "../../base/errors.ts";
import { isJsonObject } from "../../base/json.ts";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";
import {
  fileState,
  listTree,
  readPieces,
  readText,
  type FileState,
} from "../../runtime/platform/file-store.ts";
import { CONFIG_FILE } from "../model-files.ts";
import { contentHash } from "./api.ts";
import { CachedRepository, cachedModels } from "./cache.ts";
import { startHash } from "./content-hash.ts";

/** One commit of a model in the cache. */
export interface CachedModel {
  readonly repository: CachedRepository;
  readonly commit: string;
  /** Branches and tags that were last seen at this commit. */
  readonly revisions: readonly string[];
  readonly directory: string;
  /** `model_type` of its config.json. */
  readonly modelType: string | undefined;
  readonly format: string | undefined;
  /** Bytes of its files; what it shares with other commits counts for each. */
  readonly bytes: number;
  /** When a file of it was last read, as far as the file system keeps that. */
  readonly lastUsed: Date | undefined;
  readonly isComplete: boolean;
}

/** Every commit of every model in a cache, in the order of ids. What an interrupted fetch left is among them. */
export async function listCachedModels(cacheDirectory: string): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const id of await cachedModels(cacheDirectory)) {
    models.push(...(await listCommits(new CachedRepository(cacheDirectory, id))));
  }
  return models;
}

/** Every commit of one model. */
export async function listCommits(repository: CachedRepository): Promise<CachedModel[]> {
  const revisions = await references(repository);
  const commits = new Set([...(await repository.commits()), ...revisions.keys()]);
  const models: CachedModel[] = [];
  for (const commit of [...commits].sort()) {
    const directory = repository.snapshotDirectory(commit);
    const names = await listTree(directory);
    const states = new Map<string, FileState>();
    // Looking at a list is no use of a model, though it reads these.
    const uses: number[] = [];
    for (const name of names) {
      const state = await repository.file(commit, name);
      if (state === undefined) {
        continue;
      }
      states.set(state.identity, state);
      if (name !== CONFIG_FILE && !name.endsWith(".index.json")) {
        uses.push(state.accessed);
      }
    }
    const gaps = await repository.gaps(commit, "model");
    models.push({
      repository,
      commit,
      revisions: revisions.get(commit) ?? [],
      directory,
      modelType: await modelTypeOf(directory),
      format: formatOf(names),
      bytes: [...states.values()].reduce((sum, { size }) => sum + size, 0),
      lastUsed: uses.length === 0 ? undefined : new Date(Math.max(...uses)),
      isComplete: gaps.missing.length === 0,
    });
  }
  return models;
}

/** The branches and tags that point at each commit, by commit. */
export async function references(repository: CachedRepository): Promise<Map<string, string[]>> {
  const directory = join(repository.directory, "refs");
  const byCommit = new Map<string, string[]>();
  for (const name of await listTree(directory)) {
    const commit = (await readText(join(directory, name)))?.trim() ?? "";
    if (/^\w{1,64}$/.test(commit)) {
      byCommit.set(commit, [...(byCommit.get(commit) ?? []), name]);
    }
  }
  return byCommit;
}

/** A file of a commit, and what a check found. */
export interface CheckedFile {
  readonly name: string;
  /** What the check found; "unchecked" when nothing says what the file's hash should be. */
  readonly state: "good" | "damaged" | "missing" | "unchecked";
  /** The hash that its blob is named by; undefined for a file that is no link to a blob. */
  readonly hash: string | undefined;
}

export interface CheckOptions {
  readonly signal?: AbortSignal;
  /** Called with the bytes read so far and all bytes of the commit. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Compares the files of a commit with the hashes by which they are named, and names those that are not there. */
export async function checkFiles(model: CachedModel, options: CheckOptions = {}): Promise<CheckedFile[]> {
  const { repository, commit, directory } = model;
  const { missing } = await repository.gaps(commit, "model");
  const names = await listTree(directory);
  const checked: CheckedFile[] = [];
  let done = 0;
  const read = (bytes: number): void => options.onProgress?.((done += bytes), model.bytes);
  for (const name of [...new Set([...names, ...missing])].sort()) {
    const hash = await repository.hashOf(commit, name);
    const isThere = (await fileState(join(directory, name))) !== undefined;
    const state = isThere ? await checkContent(join(directory, name), hash, read, options.signal) : "missing";
    checked.push({ name, state, hash });
  }
  return checked;
}

async function checkContent(
  path: string,
  name: string | undefined,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<CheckedFile["state"]> {
  const expected = contentHash(name ?? "");
  if (expected === undefined) {
    return "unchecked";
  }
  const hash = startHash(expected.kind, (await fileState(path))?.size ?? 0);
  for await (const bytes of readPieces(path)) {
    throwIfAborted(signal);
    hash.update(bytes);
    onBytes(bytes.byteLength);
  }
  return hash.digest("hex") === expected.hex ? "good" : "damaged";
}

async function modelTypeOf(directory: string): Promise<string | undefined> {
  const path = join(directory, CONFIG_FILE);
  if (!(await isFile(path))) {
    return undefined;
  }
  // A list of models shows what can be read; what is wrong with a file is said where the model is used.
  const config: unknown = await readJsonObject(path, "config", { code: "invalid-config", remedy: "" }).catch(
    () => undefined,
  );
  return isJsonObject(config) && typeof config["model_type"] === "string" ? config["model_type"] : undefined;
}

function formatOf(names: readonly string[]): string | undefined {
  if (names.some((name) => name.endsWith(".safetensors"))) {
    return "safetensors";
  }
  return names.some((name) => /^pytorch_model.*\.bin$/.test(name)) ? "pytorch" : undefined;
}
