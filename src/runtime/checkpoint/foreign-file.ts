/** What a weight file is that does not begin as one: fetched wrongly, usually. */
import { fileStatus, readFileRange } from "../platform/files.ts";

export const REFETCH_FILE = "The file is damaged or was not fetched completely: fetch it again.";

const START_BYTES = 64;

/** The remedy, for an error, for a weight file whose first bytes make no sense. */
export async function remedyForForeignFile(path: string): Promise<string> {
  const size = (await fileStatus(path))?.size ?? 0;
  const bytes = await readFileRange(path, 0, Math.min(START_BYTES, size));
  const start = new TextDecoder("latin1").decode(bytes);
  if (start.startsWith("version https://git-lfs")) {
    return "The file is a Git LFS pointer, not the weights: run `git lfs pull` where it was cloned.";
  }
  if (/^\s*</.test(start)) {
    return "The file looks like a web page, not weights: fetch it again.";
  }
  return REFETCH_FILE;
}
