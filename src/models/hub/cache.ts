/**
 * The Hugging Face cache on disk, as the huggingface_hub library keeps it
 * (https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so that either program finds what the other fetched:
 *
 *     models--org--name/blobs/HASH              content, named by its SHA-256 (large files) or git hash (small ones)
 *                       blobs/HASH.incomplete   what has arrived of it
 *                       snapshots/COMMIT/NAME   relative link to the blob
 *                       refs/REVISION           the commit that a branch or a tag was last seen at
 *                       .no_exist/COMMIT/NAME   the repository has no such file
 *     .locks/models--org--name/HASH.*           who is fetching it
 */
import { basename, dirname, join } from "node:path";
import { missingWeightFiles } from "../../runtime/checkpoint/checkpoint.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { isDirectory, isFile, listDirectory } from "../../runtime/platform/files.ts";
import { alias, fileState, linkTarget, readText, writeWhole } from "../../runtime/platform/file-store.ts";
import { CONFIG_FILE, TOKENIZER_FILE, VOCABULARY_FILES, WEIGHT_FILES } from "../model-files.ts";

const FOLDER_PREFIX = "models--";

/** What a caller wants to do with a model, and so needs of it. */
export type Requirement = "model" | "tokenizer" | "config";

/** What a snapshot lacks. */
export interface Gaps {
  /** Files without which the model cannot be used. */
  readonly missing: readonly string[];
  /** Files that are not there, and of which nothing in the cache says whether the repository has them. */
  readonly unknown: readonly string[];
}

export interface CachedSnapshot {
  readonly commit: string;
  readonly directory: string;
}

/** One model's part of the cache. */
export class CachedRepository {
  readonly cacheDirectory: string;
  readonly id: string;
  readonly directory: string;

  constructor(cacheDirectory: string, id: string) {
    this.cacheDirectory = cacheDirectory;
    this.id = id;
    this.directory = join(cacheDirectory, folderName(id));
  }

  snapshotDirectory(commit: string): string {
    return join(this.directory, "snapshots", commit);
  }

  blob(hash: string): string {
    return join(this.directory, "blobs", hash);
  }

  incompleteBlob(hash: string): string {
    return `${this.blob(hash)}.incomplete`;
  }

  /** Folder of this model's locks. Those of huggingface_hub, HASH.lock, stay in it when nobody holds them. */
  get lockDirectory(): string {
    return join(this.cacheDirectory, ".locks", folderName(this.id));
  }

  /**
   * The commit that a revision was last seen at; of a commit, itself; undefined when the cache does not know.
   *
   * @throws ModelComposeError "not-found" for a damaged reference
   */
  async commitOf(revision: string): Promise<string | undefined> {
    const path = this.#reference(revision);
    const text = (await isFile(path)) ? await readText(path) : undefined;
    if (text === undefined) {
      return (await isDirectory(this.snapshotDirectory(revision))) ? revision : undefined;
    }
    const commit = text.trim();
    if (/^\w{1,64}$/.test(commit)) {
      return commit;
    }
    throw new ModelComposeError(
      "not-found",
      `"${path}" holds "${commit.slice(0, 80)}"; expected a commit hash.`,
      {
        remedy: "The cache is damaged: remove that file.",
      },
    );
  }

  /** Notes the commit of a branch or a tag. */
  async setReference(revision: string, commit: string): Promise<void> {
    const path = this.#reference(revision);
    if (revision === commit || (await readText(path)) === commit) {
      return;
    }
    await writeWhole(path, commit);
  }

  /** The commits of which there are files, sorted. */
  commits(): Promise<string[]> {
    return listDirectory(join(this.directory, "snapshots"));
  }

  /** The state of a file of a snapshot; undefined without it, or when its link leads nowhere. */
  file(commit: string, name: string): ReturnType<typeof fileState> {
    return fileState(join(this.snapshotDirectory(commit), name));
  }

  /** Puts a blob into a snapshot. */
  async link(commit: string, name: string, hash: string): Promise<void> {
    await alias(join(this.snapshotDirectory(commit), name), this.blob(hash));
  }

  /** The hash by which a file of a snapshot is named; undefined for one that is no link to a blob. */
  async hashOf(commit: string, name: string): Promise<string | undefined> {
    const path = join(this.snapshotDirectory(commit), name);
    const target = await linkTarget(path);
    if (target !== undefined) {
      return dirname(target) === dirname(this.blob("x")) ? basename(target) : undefined;
    }
    // Where symbolic links are not allowed, a file and its blob are two names of one file.
    const identity = (await fileState(path))?.identity;
    if (identity === undefined) {
      return undefined;
    }
    for (const hash of await listDirectory(join(this.directory, "blobs"))) {
      if ((await fileState(this.blob(hash)))?.identity === identity) {
        return hash;
      }
    }
    return undefined;
  }

  /** Notes that a repository has no such file, as huggingface_hub does. */
  async markAbsent(commit: string, name: string): Promise<void> {
    const path = join(this.directory, ".no_exist", commit, name);
    if (!(await isFile(path))) {
      await writeWhole(path, "");
    }
  }

  /** What a snapshot lacks for a use. An interrupted fetch leaves files out, or links that lead nowhere. */
  async gaps(commit: string, requires: Requirement): Promise<Gaps> {
    const config = (await this.#isOpen(commit, CONFIG_FILE)) ? [CONFIG_FILE] : [];
    if (requires === "config") {
      return { missing: config, unknown: [] };
    }
    const tokenizer = await this.#tokenizerGaps(commit);
    // A tokenizer that is there may well be all there is of it.
    if (requires === "tokenizer") {
      return { missing: tokenizer.files, unknown: config };
    }
    const missing = [...config, ...(await this.#missingWeights(commit))];
    return tokenizer.isNeeded
      ? { missing: [...missing, ...tokenizer.files], unknown: [] }
      : { missing, unknown: tokenizer.files };
  }

  /** Whether a file is neither there nor known not to be. */
  async #isOpen(commit: string, name: string): Promise<boolean> {
    const places = [
      join(this.snapshotDirectory(commit), name),
      join(this.directory, ".no_exist", commit, name),
    ];
    for (const path of places) {
      if (await isFile(path)) {
        return false;
      }
    }
    return true;
  }

  /** The weight files that are missing. Those of formats that are not read here do not count: the hub may have others. */
  async #missingWeights(commit: string): Promise<readonly string[]> {
    const directory = this.snapshotDirectory(commit);
    for (const { file } of WEIGHT_FILES) {
      if (await isFile(join(directory, file))) {
        return missingWeightFiles(directory);
      }
    }
    return [WEIGHT_FILES.map(({ file }) => file).join(" or ")];
  }

  /** Which of tokenizer.json, or the files from which it is made, are neither there nor known not to be. */
  async #tokenizerGaps(commit: string): Promise<{ files: readonly string[]; isNeeded: boolean }> {
    const has = (name: string): Promise<boolean> => isFile(join(this.snapshotDirectory(commit), name));
    if (await has(TOKENIZER_FILE)) {
      return { files: [], isNeeded: false };
    }
    const open: string[] = [];
    for (const name of VOCABULARY_FILES) {
      if (await this.#isOpen(commit, name)) {
        open.push(name);
      }
    }
    for (const name of VOCABULARY_FILES) {
      if (await has(name)) {
        return { files: open, isNeeded: open.length > 0 };
      }
    }
    return { files: (await this.#isOpen(commit, TOKENIZER_FILE)) ? [TOKENIZER_FILE] : open, isNeeded: false };
  }

  #reference(revision: string): string {
    return join(this.directory, "refs", ...revision.split("/"));
  }
}

/** The ids of all models that have a folder in the cache, sorted. */
export async function cachedModels(cacheDirectory: string): Promise<string[]> {
  const names = await listDirectory(cacheDirectory);
  return names
    .filter((name) => name.startsWith(FOLDER_PREFIX))
    .map((name) => name.slice(FOLDER_PREFIX.length).replace("--", "/"));
}

function folderName(id: string): string {
  return FOLDER_PREFIX + id.replace("/", "--");
}
