/**
 * Small files that this program keeps for itself in a folder that others may have touched: only regular files of this user,
 * opened without following links, by their own name. A pipe that stands there does not make anybody wait.
 */
import { constants, mkdirSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { ModelComposeError } from "../../base/errors.ts";

/** Windows has neither flag, nor links that an ordinary user can make, nor pipes in folders. */
const CAREFULLY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Opens a file for reading, or for writing from its beginning; made where it is not there.
 *
 * @throws ModelComposeError "invalid-argument" for what is not a regular file of this user; what the system says otherwise
 */
export async function openOwnFile(path: string, use: "read" | "write"): Promise<FileHandle> {
  const flags = use === "read" ? constants.O_RDONLY : constants.O_WRONLY | constants.O_CREAT;
  let file: FileHandle;
  try {
    file = await open(path, flags | CAREFULLY, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A link (or, on FreeBSD, EMLINK); a pipe that nobody reads, a socket; a folder.
    if (["ELOOP", "EMLINK", "ENXIO", "EISDIR"].includes(code ?? "")) {
      throw notOurs(path, error);
    }
    throw error;
  }
  try {
    const found = await file.stat();
    if (!found.isFile() || found.nlink > 1 || !isOwn(found.uid)) {
      throw notOurs(path);
    }
    if (use === "write") {
      await file.truncate(0);
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Reads a whole file.
 *
 * @throws as `openOwnFile`; ModelComposeError "invalid-argument" for a file of more than `most` bytes
 */
export async function readOwnText(path: string, most: number): Promise<string> {
  const file = await openOwnFile(path, "read");
  try {
    const { size } = await file.stat();
    if (size > most) {
      throw new ModelComposeError(
        "invalid-argument",
        `The file ${path} has ${size} bytes; expected ${most} at most.`,
      );
    }
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/**
 * Makes a folder that only this user may enter, and those above it; one that is there gets these rights.
 *
 * @throws ModelComposeError "invalid-argument" for a link, or a folder of somebody else
 */
export async function makePrivateFolder(path: string): Promise<void> {
  // This is not done asynchronously, which never returns where a parent cannot be made (below /proc; Node 24).
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (process.platform === "win32") {
    return;
  }
  let folder: FileHandle;
  try {
    folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | CAREFULLY);
  } catch (error) {
    if (["ELOOP", "EMLINK", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) {
      throw notOurs(path, error);
    }
    throw error;
  }
  try {
    if (!isOwn((await folder.stat()).uid)) {
      throw notOurs(path);
    }
    await folder.chmod(0o700);
  } finally {
    await folder.close();
  }
}

function isOwn(uid: number): boolean {
  return process.getuid === undefined || uid === process.getuid();
}

function notOurs(path: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError(
    "invalid-argument",
    `${path} is a link, a pipe or another user's; expected a file or folder of this program.`,
    { remedy: "Remove it, or set MODEL_COMPOSE_STATE_DIR to a folder of yours.", cause },
  );
}
