/** Files that are made from a model, and made anew when the model is another. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isFile } from "../../../src/runtime/platform/files.ts";

/** Whether a file is there and was made after every file of a folder. */
export async function isNewer(path: string, folder: string): Promise<boolean> {
  if (!(await isFile(path))) {
    return false;
  }
  const times = await Promise.all((await readdir(folder)).map(async (name) => stat(join(folder, name))));
  const { mtimeMs } = await stat(path);
  return times.every((entry) => entry.mtimeMs <= mtimeMs);
}
