import {
  checkFiles,
  listCachedModels,
  listCommits,
  type CachedModel,
} from "../../../models/hub/cached-models.ts";
import { hubCacheDirectory } from "../../../models/hub/environment.ts";
import { fetchModel } from "../../../models/hub/fetch-model.ts";
import { fetchOptions, networkBan } from "../../../models/hub/resolve.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import { removeFile } from "../../../runtime/platform/file-store.ts";
import type { CommandContext } from "../run.ts";
import { cachedRepository, selectCommits } from "./cached.ts";
import type { ModelsFlags } from "./flags.ts";

/**
 * `model-compose models verify`: reads every file and compares its hash. With `--repair`, what is damaged or missing is
 * fetched again.
 *
 * @throws ModelComposeError `download` when something is wrong (and stays so)
 */
export async function verifyModels(
  id: string | undefined,
  flags: ModelsFlags,
  context: CommandContext,
): Promise<void> {
  const models =
    id === undefined
      ? await listCachedModels(flags.cacheDir ?? hubCacheDirectory())
      : selectCommits(await listCommits(await cachedRepository(id, flags)), flags.revision);
  const broken: string[] = [];
  for (const model of models) {
    if (!(await verifyOne(model, flags, context))) {
      broken.push(`${model.repository.id} at ${model.commit.slice(0, 7)}`);
    }
  }
  if (models.length === 0) {
    context.terminal.note("No model is in the cache.");
  }
  if (broken.length === 0) {
    return;
  }
  throw new ModelComposeError("download", `Damaged or incomplete: ${broken.join(", ")}.`, {
    remedy: `"model-compose models verify ${id ?? "ID"} --repair" fetches again what is wrong.`,
  });
}

/** Checks one commit of a model, and repairs it where that is asked for. @returns whether all is good */
async function verifyOne(model: CachedModel, flags: ModelsFlags, context: CommandContext): Promise<boolean> {
  const { terminal, signal } = context;
  const { repository, commit } = model;
  const title = `${repository.id} at ${commit.slice(0, 7)}`;
  const files = await checkFiles(model, {
    signal,
    onProgress: (done, total) =>
      terminal.progress(
        `Checking ${title}: ${Math.floor((100 * done) / Math.max(1, total))} % of ${formatBytes(total)}`,
      ),
  });
  const wrong = files.filter(({ state }) => state === "damaged" || state === "missing");
  const unchecked = files.filter(({ state }) => state === "unchecked");
  if (model.format === undefined && wrong.every(({ state }) => state === "missing")) {
    await terminal.write(`${title}: its weights are not here\n`);
    return true;
  }
  const good = files.length - wrong.length - unchecked.length;
  const parts = [`${good} of ${files.length} files are good`];
  if (unchecked.length > 0) {
    parts.push(`${unchecked.length} have no known hash (${unchecked.map(({ name }) => name).join(", ")})`);
  }
  await terminal.write(`${title}: ${parts.join(", ")}\n`);
  for (const { name, state } of wrong) {
    await terminal.write(`  ${name}: ${state}\n`);
  }
  if (wrong.length === 0) {
    return true;
  }
  if (flags.repair !== true) {
    return false;
  }

  const ban = networkBan({});
  if (ban !== undefined) {
    throw new ModelComposeError(
      "download",
      `Repairing ${title} needs the network, which is not used: ${ban}.`,
      {
        remedy: "Unset that variable.",
      },
    );
  }
  for (const { hash, state } of wrong) {
    if (hash !== undefined && state === "damaged") {
      await removeFile(repository.blob(hash));
    }
  }
  try {
    const { fetchedBytes } = await fetchModel(
      repository,
      await fetchOptions({
        revision: commit,
        signal,
        onProgress: (progress) => terminal.loading(progress),
        onNotice: (line) => terminal.note(line),
      }),
    );
    await terminal.write(`  repaired: ${formatBytes(fetchedBytes)} fetched\n`);
    return true;
  } catch (error) {
    // The other models may well be repaired, so checking goes on.
    if (!(error instanceof ModelComposeError) || error.code === "aborted") {
      throw error;
    }
    await terminal.write(`  not repaired: ${error.message}\n`);
    return false;
  }
}
