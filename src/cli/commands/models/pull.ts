import { fetchModel } from "../../../models/hub/fetch-model.ts";
import { fetchOptions, locateModel, networkBan } from "../../../models/hub/resolve.ts";
import { checkRevision, DEFAULT_REVISION } from "../../../models/hub/repository.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import type { CommandContext } from "../run.ts";
import type { ModelsFlags } from "./flags.ts";

/** `model-compose models pull`: fetches a model, or what is newer of it, and prints its directory. */
export async function pullModel(id: string, flags: ModelsFlags, context: CommandContext): Promise<void> {
  const { terminal, signal } = context;
  const { revision = DEFAULT_REVISION, cacheDir: cacheDirectory } = flags;
  const location = await locateModel(id, { cacheDirectory });
  if (location.kind !== "hub") {
    const what =
      location.kind === "bundled" ? "came with this program" : `is the folder "${location.directory}"`;
    throw new ModelComposeError("invalid-argument", `The model "${id}" ${what}: there is nothing to fetch.`);
  }
  checkRevision(revision);
  const ban = networkBan({});
  if (ban !== undefined) {
    throw new ModelComposeError(
      "download",
      `Fetching "${id}" needs the network, which is not used: ${ban}.`,
      {
        remedy: "Unset that variable.",
      },
    );
  }
  const { repository } = location;
  const before = await repository.commitOf(revision);
  try {
    const { commit, directory, fetchedBytes } = await fetchModel(repository, {
      ...(await fetchOptions({
        revision,
        signal,
        onProgress: (progress) => terminal.loading(progress),
        onNotice: (line) => terminal.note(line),
      })),
      newest: true,
    });
    const short = commit.slice(0, 7);
    if (fetchedBytes > 0) {
      terminal.note(`${id} at ${short}: fetched ${formatBytes(fetchedBytes)}.`);
    } else if (before === commit || before === undefined) {
      terminal.note(`${id} at ${short}: up to date.`);
    } else {
      terminal.note(`${id} at ${short}: all its content was here already.`);
    }
    await terminal.write(`${directory}\n`);
  } finally {
    terminal.close();
  }
}
