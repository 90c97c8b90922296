import { hubCacheDirectory } from "../../../models/hub/environment.ts";
import { listCachedModels, type CachedModel } from "../../../models/hub/cached-models.ts";
import { BUNDLED_MODELS, locateModel } from "../../../models/hub/resolve.ts";
import { readModelInfo } from "../../../models/model-info.ts";
import { openCheckpoint } from "../../../runtime/checkpoint/checkpoint.ts";
import { listCacheFiles, type CacheEntry } from "../../../runtime/platform/quantized-cache.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import { alignColumns } from "../../../base/text-table.ts";
import type { CommandContext } from "../run.ts";
import type { ModelsFlags } from "./flags.ts";

interface Entry {
  readonly id: string;
  /** Branches and tags at this commit. */
  readonly revisions: readonly string[];
  readonly commit?: string;
  /** `model_type` of config.json. */
  readonly family?: string;
  /** Whether the family runs here. */
  readonly supported: boolean;
  readonly format?: string;
  readonly bytes: number;
  readonly last_used?: string;
  readonly status: "complete" | "incomplete" | "bundled" | "quantized copy";
  /** The model's folder, or the file of a quantized copy. */
  readonly directory: string;
}

/** `model-compose models list`: lists what is in the cache, and what came with the program. */
export async function listModels(flags: ModelsFlags, { terminal }: CommandContext): Promise<void> {
  const entries: Entry[] = [];
  for (const id of BUNDLED_MODELS) {
    entries.push(await bundledEntry(id));
  }
  const cache = flags.cacheDir ?? hubCacheDirectory();
  for (const model of await listCachedModels(cache)) {
    entries.push(await cachedEntry(model));
  }
  entries.push(...(await listCacheFiles()).map(quantizedEntry));
  if (flags.json === true) {
    await terminal.write(`${JSON.stringify(entries, null, 2)}\n`);
    return;
  }
  const head = ["MODEL", "REVISION", "COMMIT", "FAMILY", "FORMAT", "SIZE", "LAST USED", "STATUS"];
  await terminal.write(`${alignColumns([head, ...entries.map(row)]).join("\n")}\n`);
  if (entries.length === BUNDLED_MODELS.length) {
    terminal.note(`No model is in the cache, "${cache}".`);
  }
}

async function bundledEntry(id: string): Promise<Entry> {
  const { directory } = (await locateModel(id, { cwd: "/" })) as { directory: string };
  const { totalBytes } = await openCheckpoint(directory);
  const { family } = await readModelInfo(directory);
  return {
    id,
    revisions: [],
    family,
    supported: true,
    format: "safetensors",
    bytes: totalBytes,
    status: "bundled",
    directory,
  };
}

async function cachedEntry(model: CachedModel): Promise<Entry> {
  const { repository, commit, revisions, modelType, format, bytes, lastUsed, isComplete, directory } = model;
  return {
    id: repository.id,
    revisions,
    commit,
    family: modelType,
    supported: modelType !== undefined && (await isSupported(directory)),
    format,
    bytes,
    last_used: lastUsed?.toISOString(),
    status: isComplete ? "complete" : "incomplete",
    directory,
  };
}

function quantizedEntry({ label, quantization, bytes, lastUsed, path }: CacheEntry): Entry {
  return {
    id: label,
    revisions: [],
    supported: true,
    format: quantization,
    bytes,
    last_used: lastUsed.toISOString(),
    status: "quantized copy",
    directory: path,
  };
}

async function isSupported(directory: string): Promise<boolean> {
  try {
    await readModelInfo(directory);
    return true;
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return false;
    }
    throw error;
  }
}

function row({
  id,
  revisions,
  commit = "",
  family,
  supported,
  format,
  bytes,
  last_used,
  status,
}: Entry): string[] {
  return [
    id,
    revisions.join(", "),
    commit.slice(0, 7),
    family === undefined ? "" : supported ? family : `${family} (does not run here)`,
    format ?? "",
    formatBytes(bytes),
    last_used?.slice(0, 10) ?? "",
    status,
  ];
}
