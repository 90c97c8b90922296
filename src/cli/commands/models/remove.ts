import { createInterface } from "node:readline/promises";
import { listCommits } from "../../../models/hub/cached-models.ts";
import { planRemoval, remove } from "../../../models/hub/remove-model.ts";
import { AbortError, ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import type { CommandContext } from "../run.ts";
import { cachedRepository, selectCommits } from "./cached.ts";
import type { ModelsFlags } from "./flags.ts";

/**
 * `model-compose models remove`: takes a model, or one commit of it, out of the cache. On a terminal it asks first.
 *
 * @throws ModelComposeError `usage` where nobody can be asked and `--yes` is not given
 */
export async function removeModel(id: string, flags: ModelsFlags, context: CommandContext): Promise<void> {
  const { terminal, signal } = context;
  const repository = await cachedRepository(id, flags);
  const commits = selectCommits(await listCommits(repository), flags.revision).map(({ commit }) => commit);
  const removal = await planRemoval(repository, commits);
  const names = commits.map((commit) => commit.slice(0, 7)).join(", ");
  const what = `${id}${names === "" ? "" : ` (${names})`} from "${repository.cacheDirectory}"`;
  if (flags.yes !== true) {
    if (!process.stdin.isTTY || !process.stderr.isTTY) {
      throw new ModelComposeError("usage", `Nobody can be asked whether to remove ${what}.`, {
        remedy: "Add --yes to remove it unasked.",
      });
    }
    const free = removal.bytes === 0 ? "" : `, ${formatBytes(removal.bytes)}`;
    if (!(await confirm(`Remove ${what}${free}? [y/N] `, signal))) {
      terminal.note("Nothing was removed.");
      return;
    }
  }
  await remove(removal);
  terminal.note(`Removed ${what}: ${formatBytes(removal.bytes)} are free again.`);
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
