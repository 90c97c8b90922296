/**
 * Quantised weights kept on disk, so that a model is quantised once: a folder with one file for each checkpoint and
 * quantization. A file is written whole or not at all, has sums of all that it holds, and is known by what made it: the weight
 * files, the matrices and the scheme. It can be removed at any time.
 *
 * A file: MAGIC, the length of its header (4 bytes, little-endian), the header (JSON), zeros up to DATA_ALIGNMENT, the matrices.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, realpath, rename, rm, stat, utimes, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { errorMessage } from "../../base/errors.ts";
import type { Quantization } from "../held-formats.ts";
import { cacheDirectory } from "./cache-directory.ts";
import { freeBytes } from "./file-store.ts";

/** Grows with every change of what weights become or how they lie in a file: older files are not read then. */
const SCHEME = 2;
const MAGIC = "model-compose quantized weights\n";
const DATA_ALIGNMENT = 4096;
/** What stays free on the drive. */
const SPARE_BYTES = 1024 * 2 ** 20;
/** Files that were not used for longest are removed beyond this many bytes. */
export const MOST_CACHE_BYTES = 32 * 2 ** 30;
/** Of a weight file that is known by no hash, this much is read for its key: the header of safetensors. */
const HASHED_BYTES = 2 ** 20;
const EXTENSION = ".weights";

/** A matrix in a file. */
export interface CachedMatrix {
  readonly name: string;
  /** All that what it becomes depends on. */
  readonly made: unknown;
  /** Bytes that it takes. */
  readonly bytes: number;
}

/** What a file is made from. */
export interface CacheSource {
  readonly quantization: Quantization;
  /** What people call the model. */
  readonly label: string;
  /** Paths of the weight files. */
  readonly files: readonly string[];
  readonly matrices: readonly CachedMatrix[];
  /** Which device's layout it is. */
  readonly layout: string;
}

/** Sums of the matrices by name, 32-bit integers. */
export type Sums = Readonly<Record<string, number>>;

interface Header {
  readonly key: string;
  readonly label: string;
  readonly quantization: Quantization;
  /** Hexadecimal sums, in the order of the matrices. */
  readonly sums: readonly string[];
}

/** A file that can be read. */
export interface CacheFile {
  readonly path: string;
  /** Where the matrices lie, in bytes from the file's beginning. */
  readonly places: Readonly<Record<string, number>>;
  readonly sums: Sums;
  /** Removes a file that turned out to be damaged. */
  discard(): Promise<void>;
}

/** A file that is being made. */
export interface NewCacheFile {
  readonly path: string;
  readonly places: Readonly<Record<string, number>>;
  /** Ends it, when all matrices are in it, and makes room for it. */
  finish(sums: Sums): Promise<void>;
  /** Takes it away. */
  discard(): Promise<void>;
}

/** A file of the cache, for people. */
export interface CacheEntry {
  readonly path: string;
  readonly label: string;
  readonly quantization: string;
  readonly bytes: number;
  readonly lastUsed: Date;
}

/** The folder of the files. */
export function quantizedCacheDirectory(): string {
  return path.join(cacheDirectory(), "quantized");
}

/** The key of what is made from a checkpoint: files of the Hugging Face cache are known by the hash in their names. */
export async function cacheKey(source: CacheSource): Promise<string> {
  const hash = createHash("sha256");
  const { quantization, layout, matrices } = source;
  hash.update(JSON.stringify({ scheme: SCHEME, quantization, layout, matrices }));
  for (const file of source.files) {
    hash.update(await fingerprint(file));
  }
  return hash.digest("hex").slice(0, 40);
}

async function fingerprint(file: string): Promise<string> {
  const real = await realpath(file);
  const { size, mtimeMs } = await stat(real);
  const name = path.basename(real);
  if (path.basename(path.dirname(real)) === "blobs" && /^[0-9a-f]{40,64}$/.test(name)) {
    return JSON.stringify([name, size]);
  }
  const handle = await open(real, "r");
  try {
    const head = Buffer.alloc(Math.min(size, HASHED_BYTES));
    await handle.read(head, 0, head.length, 0);
    return JSON.stringify([size, mtimeMs, createHash("sha256").update(head).digest("hex")]);
  } finally {
    await handle.close();
  }
}

/** Where matrices lie behind a header of so many bytes. */
function placesOf(matrices: readonly CachedMatrix[], headerBytes: number): Record<string, number> {
  const places: Record<string, number> = {};
  let offset = headerBytes;
  for (const { name, bytes } of matrices) {
    offset = Math.ceil(offset / DATA_ALIGNMENT) * DATA_ALIGNMENT;
    places[name] = offset;
    offset += bytes;
  }
  return places;
}

function headerBytes(header: Header): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([Buffer.from(MAGIC), length, json]);
}

/** The header of a file; undefined for what is none of ours. */
async function readHeader(handle: FileHandle): Promise<Header | undefined> {
  const start = Buffer.alloc(MAGIC.length + 4);
  await handle.read(start, 0, start.length, 0);
  if (start.toString("latin1", 0, MAGIC.length) !== MAGIC) {
    return undefined;
  }
  const json = Buffer.alloc(Math.min(start.readUInt32LE(MAGIC.length), 16 * 2 ** 20));
  await handle.read(json, 0, json.length, start.length);
  try {
    return JSON.parse(json.toString()) as Header;
  } catch {
    return undefined;
  }
}

/** The file of a source with this key, if there is one; it counts as used now. What cannot be read is not there. */
export async function findCacheFile(source: CacheSource, key: string): Promise<CacheFile | undefined> {
  try {
    const file = path.join(quantizedCacheDirectory(), `${key}${EXTENSION}`);
    const handle = await open(file, "r");
    try {
      const header = await readHeader(handle);
      if (header?.key !== key || header.sums.length !== source.matrices.length) {
        return undefined;
      }
      const places = placesOf(source.matrices, headerBytes(header).length);
      const ends = source.matrices.map(({ name, bytes }) => places[name] + bytes);
      if ((await handle.stat()).size !== Math.max(...ends)) {
        return undefined;
      }
      const now = new Date();
      await utimes(file, now, now).catch(() => undefined);
      const sums = Object.fromEntries(
        source.matrices.map(({ name }, i) => [name, Number.parseInt(header.sums[i], 16) | 0]),
      );
      return { path: file, places, sums, discard: () => rm(file, { force: true }) };
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}

/** Begins a file for a source with this key; a text says why there can be none. */
export async function createCacheFile(source: CacheSource, key: string): Promise<NewCacheFile | string> {
  const directory = quantizedCacheDirectory();
  const temporary = path.join(directory, `${key}.${randomUUID()}.part`);
  const { label, quantization, matrices } = source;
  const header = (sums: readonly string[]): Buffer => headerBytes({ key, label, quantization, sums });
  const placeholder = header(matrices.map(() => "00000000"));
  const places = placesOf(matrices, placeholder.length);
  const total = matrices.reduce((sum, { bytes }) => sum + bytes, placeholder.length);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await removeAbandoned(directory);
    if ((await freeBytes(directory)) < total + SPARE_BYTES) {
      return `there is no room for it in "${directory}"`;
    }
    const handle = await open(temporary, "wx", 0o600);
    await handle.close();
  } catch (error) {
    return `"${directory}" cannot be written (${errorMessage(error)})`;
  }
  const discard = (): Promise<void> => rm(temporary, { force: true });
  return {
    path: temporary,
    places,
    discard,
    finish: async (sums) => {
      const handle = await open(temporary, "r+");
      try {
        const hex = matrices.map(({ name }) => (sums[name] >>> 0).toString(16).padStart(8, "0"));
        await handle.write(header(hex), 0, placeholder.length, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path.join(directory, `${key}${EXTENSION}`));
      await keepWithin(MOST_CACHE_BYTES);
    },
  };
}

/** What a process that ended has left: parts that nothing was written to for an hour. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const file = path.join(directory, name);
    if (name.endsWith(".part") && (await stat(file)).mtimeMs < Date.now() - 3_600_000) {
      await rm(file, { force: true });
    }
  }
}

/** The files of the cache, the one that was used last first. */
export async function listCacheFiles(): Promise<CacheEntry[]> {
  const directory = quantizedCacheDirectory();
  const names = await readdir(directory).catch((): string[] => []);
  const found: CacheEntry[] = [];
  for (const name of names.filter((entry) => entry.endsWith(EXTENSION))) {
    const file = path.join(directory, name);
    const handle = await open(file, "r").catch(() => undefined);
    if (handle === undefined) {
      continue;
    }
    try {
      const { size, mtime } = await handle.stat();
      const { label = "", quantization = "none" } = (await readHeader(handle)) ?? {};
      found.push({ path: file, label, quantization, bytes: size, lastUsed: mtime });
    } finally {
      await handle.close();
    }
  }
  return found.sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** Removes files of the cache. */
export async function removeCacheFiles(entries: readonly CacheEntry[]): Promise<void> {
  await Promise.all(entries.map(({ path: file }) => rm(file, { force: true })));
}

/** Removes those that were not used for longest until all take no more than `most` bytes; the last one used stays. */
export async function keepWithin(most: number): Promise<void> {
  let kept = 0;
  const tooMany = (await listCacheFiles()).filter(({ bytes }, i) => {
    kept += bytes;
    return i > 0 && kept > most;
  });
  await removeCacheFiles(tooMany);
}
