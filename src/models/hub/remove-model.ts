/** Takes commits of a model out of the cache, with the content that nothing else uses. */
import { join } from "node:path";
import { ModelComposeError } from "../../base/errors.ts";
import { listDirectory } from "../../runtime/platform/files.ts";
import {
  fileState,
  linkTarget,
  listTree,
  removeFile,
  removeTree,
} from "../../runtime/platform/file-store.ts";
import { DEFAULT_LOCK_TIMES } from "./blob-lock.ts";
import type { CachedRepository } from "./cache.ts";
import { references } from "./cached-models.ts";

/** What removing commits of a model takes out of the cache. */
export interface Removal {
  readonly repository: CachedRepository;
  readonly commits: readonly string[];
  /** True when nothing of the model stays. */
  readonly isAll: boolean;
  /** File names of the blobs that go, and of partly fetched ones. */
  readonly blobs: readonly string[];
  /** Bytes that become free. */
  readonly bytes: number;
}

/**
 * Finds out what removing commits takes out of the cache.
 *
 * @param commits commits of the repository, at least one
 */
export async function planRemoval(
  repository: CachedRepository,
  commits: readonly string[],
): Promise<Removal> {
  const staying = (await repository.commits()).filter((commit) => !commits.includes(commit));
  const isAll = staying.length === 0;
  const used = new Set<string | undefined>();
  for (const commit of staying) {
    for (const name of await listTree(repository.snapshotDirectory(commit))) {
      used.add(await repository.hashOf(commit, name));
    }
  }
  const all = await listDirectory(join(repository.directory, "blobs"));
  // What is being fetched may be for a commit that stays.
  const blobs = isAll ? all : all.filter((name) => !used.has(name) && !name.endsWith(".incomplete"));
  const files = new Map<string, number>();
  const count = async (path: string): Promise<void> => {
    const state = await fileState(path);
    if (state !== undefined) {
      files.set(state.identity, state.size);
    }
  };
  for (const name of blobs) {
    await count(repository.blob(name));
  }
  for (const commit of commits) {
    const names = await listTree(repository.snapshotDirectory(commit));
    // Links were counted with their blobs; where there are none, the files are here.
    for (const name of names) {
      if ((await repository.hashOf(commit, name)) === undefined) {
        await count(join(repository.snapshotDirectory(commit), name));
      }
    }
  }
  const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
  return { repository, commits, isAll, blobs, bytes };
}

/**
 * Carries out a removal.
 *
 * @throws ModelComposeError "busy" while a process fetches the model, "download" for what cannot be removed
 */
export async function remove(removal: Removal): Promise<void> {
  const { repository, commits, isAll, blobs } = removal;
  await refuseWhileFetched(repository);
  const shared = (await Promise.all(blobs.map((name) => linkTarget(repository.blob(name))))).flatMap(
    (path) => path ?? [],
  );
  if (isAll) {
    await removeTree(repository.directory);
    await removeTree(repository.lockDirectory);
  } else {
    const revisions = await references(repository);
    for (const commit of commits) {
      // References go first: what is half removed must not look like what is half fetched.
      for (const name of revisions.get(commit) ?? []) {
        await removeFile(join(repository.directory, "refs", name));
      }
      await removeTree(repository.snapshotDirectory(commit));
      await removeTree(join(repository.directory, ".no_exist", commit));
      await removeFile(join(repository.directory, "trees", `${commit}.json`));
    }
    for (const name of blobs) {
      await removeFile(repository.blob(name));
    }
  }
  await removeUnused(repository.cacheDirectory, shared);
}

/**
 * huggingface_hub keeps content that several repositories share in the folder "blobs" of the cache, with links to it as the
 * repositories' blobs and a list of these beside it (NAME.refs). What nobody links to any more goes.
 */
async function removeUnused(cacheDirectory: string, targets: readonly string[]): Promise<void> {
  const store = join(cacheDirectory, "blobs");
  const candidates = new Set(targets.filter((path) => path.startsWith(join(store, "/"))));
  if (candidates.size === 0) {
    return;
  }
  for (const repository of await listDirectory(cacheDirectory)) {
    const blobs = join(cacheDirectory, repository, "blobs");
    for (const name of repository.includes("--") ? await listDirectory(blobs) : []) {
      candidates.delete((await linkTarget(join(blobs, name))) ?? "");
    }
  }
  for (const path of candidates) {
    await removeFile(path);
    await removeFile(`${path}.refs`);
  }
}

async function refuseWhileFetched({ id, lockDirectory }: CachedRepository): Promise<void> {
  for (const name of await listDirectory(lockDirectory)) {
    const touched = name.endsWith(".model-compose")
      ? (await fileState(join(lockDirectory, name)))?.modified
      : undefined;
    if (touched === undefined || Date.now() - touched > DEFAULT_LOCK_TIMES.stale) {
      continue;
    }
    throw new ModelComposeError("busy", `"${id}" is being fetched by another process.`, {
      remedy: "End that, or wait for it.",
    });
  }
}
