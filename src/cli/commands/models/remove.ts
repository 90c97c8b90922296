import { createInterface } from "node:readline/promises";
import { listCommits } from "../../../models/hub/cached-models.ts";
import { planRemoval, remove } from "../../../models/hub/remove-model.ts";
import {
  listCacheFiles,
  quantizedCacheDirectory,
  removeCacheFiles,
} from "../../../runtime/platform/quantized-cache.ts";
import { AbortError, ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import type { CommandContext } from "../run.ts";
import { cachedRepository, selectCommits } from "./cached.ts";
import type { ModelsFlags } from "./flags.ts";

/**
 * `model-compose models remove`: takes a model, or one commit of it, out of the cache, with its quantised copies. On a terminal it
 * asks first.
 *
 * @throws ModelComposeError `usage` where nobody can be asked and `--yes` is not given; `not-found`
 */
export async function removeModel(id: string, flags: ModelsFlags, context: CommandContext): Promise<void> {
  const copies = (await listCacheFiles()).filter(({ label }) => label === id);
  const copyBytes = copies.reduce((sum, { bytes }) => sum + bytes, 0);
  if (flags.quantized === true) {
    if (copies.length === 0) {
      throw new ModelComposeError(
        "not-found",
        `There is no quantised copy of "${id}" in "${quantizedCacheDirectory()}".`,
        { remedy: '"models list" shows them, under the names with which they were loaded.' },
      );
    }
    const what = `the quantised copies of ${id} from "${quantizedCacheDirectory()}"`;
    await removeAsked(what, copyBytes, flags, context, () => removeCacheFiles(copies));
    return;
  }
  const repository = await cachedRepository(id, flags);
  const commits = selectCommits(await listCommits(repository), flags.revision).map(({ commit }) => commit);
  const removal = await planRemoval(repository, commits);
  const names = commits.map((commit) => commit.slice(0, 7)).join(", ");
  const what = `${id}${names === "" ? "" : ` (${names})`} from "${repository.cacheDirectory}"`;
  await removeAsked(what, removal.bytes + copyBytes, flags, context, async () => {
    await remove(removal);
    await removeCacheFiles(copies);
  });
}

/** Removes something, of so many bytes, after a yes. */
async function removeAsked(
  what: string,
  bytes: number,
  flags: ModelsFlags,
  { terminal, signal }: CommandContext,
  action: () => Promise<void>,
): Promise<void> {
  if (flags.yes !== true) {
    if (!process.stdin.isTTY || !process.stderr.isTTY) {
      throw new ModelComposeError("usage", `Nobody can be asked whether to remove ${what}.`, {
        remedy: "Add --yes to remove it unasked.",
      });
    }
    const free = bytes === 0 ? "" : `, ${formatBytes(bytes)}`;
    if (!(await confirm(`Remove ${what}${free}? [y/N] `, signal))) {
      terminal.note("Nothing was removed.");
      return;
    }
  }
  await action();
  terminal.note(`Removed ${what}: ${formatBytes(bytes)} are free again.`);
}

async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(question, { signal })).trim());
  } catch (error) {
    if (signal.aborted) {
      throw new AbortError(signal.reason);
    }
    throw error;
  } finally {
    lines.close();
  }
}
