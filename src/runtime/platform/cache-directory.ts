/** A folder of what can be found out or made again. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import envPaths from "env-paths";

/** MODEL_COMPOSE_CACHE_DIR, else the platform's place (XDG_CACHE_HOME, Library/Caches, LOCALAPPDATA). */
export function cacheDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env["MODEL_COMPOSE_CACHE_DIR"];
  return given ? path.resolve(given) : envPaths("model-compose", { suffix: "" }).cache;
}

/** The text of a file in the cache; undefined where there is none that can be read. */
export async function readCached(name: string): Promise<string | undefined> {
  try {
    return await readFile(path.join(cacheDirectory(), name), "utf8");
  } catch {
    return undefined;
  }
}

/** Writes a file of the cache, whole or not at all. A cache that cannot be written is none: that is no error. */
export async function writeCached(name: string, text: string): Promise<void> {
  const file = path.join(cacheDirectory(), name);
  const temporary = `${file}.${randomUUID()}`;
  try {
    await mkdir(cacheDirectory(), { recursive: true, mode: 0o700 });
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, file);
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}
