/** Brings a model of the hub into the cache: finds out what it needs and what of that is missing, and fetches it. */
import { join } from "node:path";
import { AbortError, ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import { formatBytes } from "../../base/bytes.ts";
import type { LoadReports } from "../load-options.ts";
import type { WeightFile } from "../../runtime/checkpoint/checkpoint.ts";
import { fileState, freeBytes as freeBytesOf } from "../../runtime/platform/file-store.ts";
import { describeModel } from "../describe-model.ts";
import { CHAT_TEMPLATE_FILES, CONFIG_FILE, QUANTIZATION_FILES } from "../model-files.ts";
import { commitOfRevision, contentUrl, filesOfCommit, type HubFile } from "./api.ts";
import { acquireBlobLock, type LockTimes } from "./blob-lock.ts";
import type { CachedRepository, CachedSnapshot, Requirement } from "./cache.ts";
import type { HubToken } from "./environment.ts";
import { fetchBlob } from "./fetch-blob.ts";
import { HubHttp, type TransferLimits } from "./http.ts";
import { neededFiles, refuseLongFiles, shardsOfIndex } from "./needed-files.ts";
import { RevisionNotFound } from "./refusals.ts";

export interface FetchOptions extends LoadReports {
  readonly revision: string;
  readonly requires: Requirement;
  /** Whether to look for a newer commit of the revision also when the cache knows one. */
  readonly newest?: boolean;
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  readonly token?: HubToken;
  /** Called when the small files are in the model's directory, before its weights come; throws for one that will not do. */
  readonly check?: (directory: string) => Promise<void>;
  readonly limits?: TransferLimits;
  readonly lockTimes?: LockTimes;
  /** Tells the bytes free on the drive of a path. Default: the system is asked. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

export interface FetchedSnapshot extends CachedSnapshot {
  /** Bytes that came over the network, or from another process that fetched the same. */
  readonly fetchedBytes: number;
}

/** How many files are fetched at the same time. */
const PARALLEL = 4;
const PROGRESS_MILLISECONDS = 100;
/** Bytes that are left free for whatever else writes to the drive. */
const SPARE_BYTES = 64 * 2 ** 20;

/**
 * Fetches what is missing of a model. The configuration comes first: a model that does not run here is refused before its
 * weights are fetched.
 *
 * @throws ModelComposeError "not-found" (repository, revision), "unsupported", "invalid-config", "download" (network,
 *   access, room, damage); AbortError. What has arrived is kept, and the next fetch goes on from there.
 */
export async function fetchModel(
  repository: CachedRepository,
  options: FetchOptions,
): Promise<FetchedSnapshot> {
  const fetching = new Fetching(repository, options);
  try {
    return await fetching.run();
  } catch (error) {
    if (options.signal?.aborted === true && !(error instanceof AbortError)) {
      throw new AbortError(options.signal.reason);
    }
    throw error;
  }
}

class Fetching {
  readonly #repository: CachedRepository;
  readonly #options: FetchOptions;
  readonly #stop = new AbortController();
  readonly #http: HubHttp;
  #commit = "";
  #files: ReadonlyMap<string, HubFile> = new Map();
  #fetchedBytes = 0;

  constructor(repository: CachedRepository, options: FetchOptions) {
    this.#repository = repository;
    this.#options = options;
    const { signal } = options;
    this.#http = new HubHttp({
      ...options,
      signal: signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]),
    });
  }

  async run(): Promise<FetchedSnapshot> {
    const { revision, requires } = this.#options;
    const { id } = this.#repository;
    await this.#findFiles();
    const needed = neededFiles(new Set(this.#files.keys()), requires, id);
    refuseLongFiles(this.#files, needed.small, id);
    // The commit is noted now, so that a fetch that breaks off goes on with it, but not in place of one that is complete.
    const known = await this.#repository.commitOf(revision);
    const gaps = known === undefined ? undefined : await this.#repository.gaps(known, "model");
    if (gaps?.missing.length !== 0) {
      await this.#setReference();
    }
    for (const name of needed.absent) {
      await this.#repository.markAbsent(this.#commit, name);
    }

    const directory = this.#repository.snapshotDirectory(this.#commit);
    if (needed.small.includes(CONFIG_FILE)) {
      // Beside config.json, other files tell of weights that are quantised, which are refused by what is there.
      await this.#fetchAll(
        needed.small.filter((name) => name === CONFIG_FILE || QUANTIZATION_FILES.includes(name)),
      );
    }
    if (requires === "model") {
      await describeModel(directory);
    }
    if (this.#options.check !== undefined) {
      await this.#fetchAll(
        // Beside config.json the chat templates say whether the model will do.
        needed.small.filter((name) => CHAT_TEMPLATE_FILES.includes(name)),
        "quiet",
      );
      await this.#options.check(directory);
    }
    const weights = await this.#weightFiles(needed.weights, directory);
    await this.#fetchAll([...needed.small, ...weights]);
    await this.#setReference();
    return { commit: this.#commit, directory, fetchedBytes: this.#fetchedBytes };
  }

  /** The commit to fetch and its files: the one that the cache knows, unless the newest is asked for or it is gone. */
  async #findFiles(): Promise<void> {
    const { revision, newest = false } = this.#options;
    const { id } = this.#repository;
    const known = newest ? undefined : await this.#repository.commitOf(revision);
    if (known !== undefined) {
      try {
        this.#files = await filesOfCommit(this.#http, id, known);
        this.#commit = known;
        return;
      } catch (error) {
        if (!(error instanceof RevisionNotFound) || known === revision) {
          throw error;
        }
      }
    }
    this.#commit = await commitOfRevision(this.#http, id, revision);
    this.#files = await filesOfCommit(this.#http, id, this.#commit);
  }

  /** The revision and its commit for messages, once where they are the same. */
  #what(): string {
    const { revision } = this.#options;
    const commit = this.#commit.slice(0, 7);
    return revision === this.#commit ? commit : `${revision}, ${commit}`;
  }

  #setReference(): Promise<void> {
    return this.#repository.setReference(this.#options.revision, this.#commit);
  }

  async #weightFiles(weights: WeightFile | undefined, directory: string): Promise<readonly string[]> {
    if (weights === undefined) {
      return [];
    }
    if (!weights.isIndex) {
      return [weights.file];
    }
    await this.#fetchAll([weights.file]);
    const shards = await shardsOfIndex(directory, weights.file);
    const lost = shards.find((name) => !this.#files.has(name));
    if (lost === undefined) {
      return shards;
    }
    throw new ModelComposeError(
      "invalid-checkpoint",
      `"${weights.file}" of "${this.#repository.id}" names "${lost}", which the repository does not have.`,
      { remedy: "Use another revision of it." },
    );
  }

  /** Fetches those of the files that are not there, several at a time; the first failure ends all. */
  async #fetchAll(names: readonly string[], announces: "quiet" | "aloud" = "aloud"): Promise<void> {
    const wanted: HubFile[] = [];
    for (const name of new Set(names)) {
      const file = this.#files.get(name);
      if (file !== undefined && !(await this.#isThere(file))) {
        wanted.push(file);
      }
    }
    if (wanted.length === 0) {
      return;
    }
    // Files of the same content are one blob.
    const blobs = Map.groupBy(wanted, ({ hash }) => hash.hex);
    const progress = await this.#prepare(wanted, announces);
    const queue = blobs.values();
    const work = async (): Promise<void> => {
      for (const [file, ...same] of queue) {
        if (file === undefined) {
          continue;
        }
        await this.#fetchFile(file, progress);
        for (const { name, hash } of same) {
          await this.#repository.link(this.#commit, name, hash.hex);
        }
      }
    };
    const workers = Array.from({ length: Math.min(PARALLEL, blobs.size) }, () =>
      work().catch((error: unknown) => {
        this.#stop.abort();
        throw error;
      }),
    );
    // Nobody may write any more when this returns.
    const failures = (await Promise.allSettled(workers)).flatMap((end) =>
      end.status === "rejected" ? [end.reason as unknown] : [],
    );
    progress.end();
    if (failures.length === 0) {
      return;
    }
    throwIfAborted(this.#options.signal);
    // The others were told to stop.
    throw failures.find((error) => !(error instanceof AbortError)) ?? failures[0];
  }

  /** A file counts as there when its size is right; one of the same content under another commit is linked. */
  async #isThere(file: HubFile): Promise<boolean> {
    const { name, size, hash } = file;
    const state = await this.#repository.file(this.#commit, name);
    if (state?.size === size) {
      return true;
    }
    if ((await fileState(this.#repository.blob(hash.hex)))?.size !== size) {
      return false;
    }
    await this.#repository.link(this.#commit, name, hash.hex);
    return true;
  }

  /** Says what comes, and that there is room for it. */
  async #prepare(wanted: readonly HubFile[], announces: "quiet" | "aloud"): Promise<TransferProgress> {
    const { id, cacheDirectory } = this.#repository;
    const progress = new TransferProgress(this.#options.onProgress);
    for (const { hash, size } of wanted) {
      const arrived = (await fileState(this.#repository.incompleteBlob(hash.hex)))?.size ?? 0;
      progress.add(hash.hex, size, Math.min(arrived, size));
    }
    const { total, done } = progress;
    const { freeBytes = freeBytesOf } = this.#options;
    const free = await freeBytes(cacheDirectory);
    const needs = total - done;
    if (needs + SPARE_BYTES > free) {
      throw new ModelComposeError(
        "download",
        `There is no room for "${id}" in "${cacheDirectory}": ${formatBytes(needs)} are to be fetched, ` +
          `${formatBytes(free)} are free, of which ${formatBytes(SPARE_BYTES)} are left to others.`,
        {
          remedy:
            'Free some space, or put the cache on another drive (HF_HUB_CACHE, or the option "cacheDirectory").',
        },
      );
    }
    if (announces === "aloud" && (wanted.length > 1 || total >= 1e6)) {
      const before = done === 0 ? "" : `, ${formatBytes(done)} of it here already`;
      this.#http.notice(
        `Fetching ${id} (${this.#what()}): ${formatBytes(total)} in ` +
          `${wanted.length} ${wanted.length === 1 ? "file" : "files"}${before}.`,
      );
    }
    progress.report();
    return progress;
  }

  async #fetchFile(file: HubFile, progress: TransferProgress): Promise<void> {
    const { id, lockDirectory } = this.#repository;
    const { name, size, hash } = file;
    const path = this.#repository.blob(hash.hex);
    const incompletePath = this.#repository.incompleteBlob(hash.hex);
    const lock = await acquireBlobLock(join(lockDirectory, `${hash.hex}.model-compose`), {
      signal: this.#http.signal,
      times: this.#options.lockTimes,
      onWait: (holder) => {
        const who = holder === undefined ? "another process" : `process ${holder}`;
        this.#http.notice(`Waiting for ${who}, which fetches ${name} of ${id}.`);
      },
      isDone: async () => {
        const arrived = (await fileState(path))?.size ?? (await fileState(incompletePath))?.size ?? 0;
        progress.set(hash.hex, Math.min(arrived, size));
        return (await fileState(path))?.size === size;
      },
    });
    if (lock !== undefined) {
      try {
        await fetchBlob({
          http: this.#http,
          url: contentUrl(this.#http, id, this.#commit, name),
          file,
          subject: { id, revision: this.#commit, what: `${name} of "${id}"` },
          path,
          incompletePath,
          onBytes: (done) => progress.set(hash.hex, done),
        });
      } finally {
        await lock.release();
      }
    }
    this.#fetchedBytes += size;
    progress.set(hash.hex, size);
    await this.#repository.link(this.#commit, name, hash.hex);
  }
}

/** Counts the bytes of all files together, and tells them a few times a second. */
class TransferProgress {
  readonly #onProgress: LoadReports["onProgress"];
  readonly #done = new Map<string, number>();
  #toldAt = 0;
  #isOver = false;
  total = 0;

  constructor(onProgress: LoadReports["onProgress"]) {
    this.#onProgress = onProgress;
  }

  get done(): number {
    return [...this.#done.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  add(key: string, size: number, done: number): void {
    if (!this.#done.has(key)) {
      this.total += size;
    }
    this.#done.set(key, done);
  }

  set(key: string, done: number): void {
    this.#done.set(key, done);
    if (performance.now() - this.#toldAt >= PROGRESS_MILLISECONDS) {
      this.report();
    }
  }

  report(): void {
    if (this.#isOver) {
      return;
    }
    this.#toldAt = performance.now();
    this.#onProgress?.({ stage: "download", done: this.done, total: this.total });
  }

  end(): void {
    this.report();
    this.#isOver = true;
  }
}
