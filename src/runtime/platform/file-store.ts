/**
 * Files that this program writes: what it fetches into the model cache, and the marks around it. Readers of model files
 * are in files.ts. Failures are "download" errors that name the path: a full disk, a folder that may not be written.
 */
import {
  constants,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { basename, dirname, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ModelComposeError, errorMessage } from "../../base/errors.ts";

/** What happened to a file since one last looked; equal for two looks between which nothing did. */
export interface FileState {
  /** Size in bytes. */
  readonly size: number;
  /**
   * Time of the last change, in milliseconds of the file system's clock: good for comparing, not for telling the age.
   */
  readonly modified: number;
  /** Time of the last use, in milliseconds, as far as the file system keeps it. */
  readonly accessed: number;
  /** What tells files apart: the same for two names of one file. */
  readonly identity: string;
}

/** The state of a file, links followed; undefined when there is none. */
export async function fileState(path: string): Promise<FileState | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return {
      size: Number(found.size),
      modified: Number(found.mtimeNs) / 1e6,
      accessed: Number(found.atimeMs),
      identity: `${found.dev}:${found.ino}`,
    };
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw failure("read", path, error);
  }
}

/** Makes a directory and those above it. */
export async function makeDirectory(path: string): Promise<void> {
  await attempt("make the directory", path, () => makeLevels(path));
}

/**
 * Makes directories level by level: Node's own recursive way never returns where a parent cannot be made (below /proc;
 * Node 24).
 */
async function makeLevels(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "EISDIR" || code === "EPERM") {
      if ((await stat(path)).isDirectory()) {
        return;
      }
      throw error;
    }
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path) {
      throw error;
    }
    await makeLevels(parent);
    // Another process may have been faster. What is still missing then cannot be made.
    await mkdir(path).catch(async (again: unknown) => {
      if (!(await stat(path)).isDirectory()) {
        throw again;
      }
    });
  }
}

/** Writes a small file so that readers see all of it or none. Its directory is made. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await makeDirectory(dirname(path));
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  await attempt("write", path, async () => {
    try {
      await writeFile(temporary, text);
      await renameStubbornly(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  });
}

/** The text of a small file; undefined when there is none. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw failure("read", path, error);
  }
}

/** Creates a file that was not there; false when there is one. Its directory must be there. */
export async function createExclusively(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: "wx" });
    return true;
  } catch (error) {
    // On Windows a file that is just being deleted answers EPERM.
    if (hasCode(error, "EEXIST", ...(process.platform === "win32" ? ["EPERM", "EBUSY"] : []))) {
      return false;
    }
    throw failure("write", path, error);
  }
}

/** Marks a file as changed now; false when it is gone. */
export async function touch(path: string): Promise<boolean> {
  try {
    const now = new Date();
    await utimes(path, now, now);
    return true;
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw failure("write", path, error);
  }
}

/** Gives a file another name on the same drive, in place of what has it. False when `from` is gone. */
export async function renameFile(from: string, to: string): Promise<boolean> {
  try {
    await renameStubbornly(from, to);
    return true;
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw failure("write", to, error);
  }
}

/** Removes a file, if it is there. */
export async function removeFile(path: string): Promise<void> {
  await attempt("remove", path, () => rm(path, { force: true }));
}

/** Removes a directory with all that is in it. */
export async function removeTree(path: string): Promise<void> {
  await attempt("remove", path, () => rm(path, { recursive: true, force: true, maxRetries: 3 }));
}

/** Where a symbolic link leads, as an absolute path; undefined for anything else. One link only is followed. */
export async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return resolve(dirname(path), await readlink(path));
  } catch (error) {
    if (isMissing(error) || hasCode(error, "EINVAL", "UNKNOWN")) {
      return undefined;
    }
    throw failure("read", path, error);
  }
}

/** Whether there is anything at a path; a link that leads nowhere counts too. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw failure("read", path, error);
  }
}

/** All files and links below a directory, as paths relative to it with "/", sorted; empty without it. */
export async function listTree(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(directory, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
      .sort();
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw failure("read", directory, error);
  }
}

/**
 * Makes `path` another name of `file`: a relative symbolic link; where that is not allowed (Windows without developer
 * mode), a hard link, which needs no right; where the file system has neither, the file itself moves there.
 */
export async function alias(path: string, file: string): Promise<void> {
  await makeDirectory(dirname(path));
  await attempt("write", path, async () => {
    const temporary = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.tmp`);
    try {
      await symlink(relative(dirname(path), file), temporary, "file");
    } catch (error) {
      if (!hasCode(error, ...NO_LINKS)) {
        throw error;
      }
      try {
        await link(file, temporary);
      } catch (cause) {
        if (!hasCode(cause, ...NO_LINKS, "EXDEV", "EMLINK")) {
          throw cause;
        }
        await renameStubbornly(file, temporary);
      }
    }
    await renameStubbornly(temporary, path);
    // Renaming one hard link over another of the same file does nothing, and leaves both.
    await rm(temporary, { force: true });
  });
}

const NO_LINKS = ["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "EISDIR", "UNKNOWN"];

/** Bytes that this user can still write on the drive of a path, which need not be there yet. */
export async function freeBytes(path: string): Promise<number> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if (!isMissing(error) || dirname(at) === at) {
        throw failure("look at", path, error);
      }
    }
  }
}

/** A file that is written piece by piece, each at its position; what it held before is kept. */
export interface WritableFile {
  /** Size in bytes when the file was opened. */
  readonly size: number;
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** The bytes before `end`, in order. */
  read(end: number): AsyncIterable<Uint8Array>;
  truncate(size: number): Promise<void>;
  /** Waits until the drive has what was written. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const READ_BYTES = 2 ** 20;

/** Opens a file for writing; makes it and its directory. */
export async function openWritable(path: string): Promise<WritableFile> {
  await makeDirectory(dirname(path));
  const run = <T>(action: () => Promise<T>): Promise<T> => attempt("write", path, action);
  // No flag by name keeps what is there, creates what is not and writes at positions.
  // In a cache that others may write, a link in the file's place would lead to a file of someone else's choice.
  const create = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
  const handle = await run(() => open(path, create, 0o666));
  try {
    const { size } = await run(() => handle.stat());
    return {
      size,
      async write(bytes, position) {
        for (let done = 0; done < bytes.byteLength;) {
          const { bytesWritten } = await run(() =>
            handle.write(bytes, done, bytes.byteLength - done, position + done),
          );
          done += bytesWritten;
        }
      },
      async *read(end) {
        for (let position = 0; position < end;) {
          const bytes = new Uint8Array(Math.min(READ_BYTES, end - position));
          const { bytesRead } = await run(() => handle.read(bytes, 0, bytes.byteLength, position));
          if (bytesRead === 0) {
            return;
          }
          yield bytes.subarray(0, bytesRead);
          position += bytesRead;
        }
      },
      truncate: (length) => run(() => handle.truncate(length)),
      sync: () => run(() => handle.datasync()),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** All bytes of a file in order, without holding more than a piece of it. */
export async function* readPieces(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await attempt("read", path, () => open(path, "r"));
  try {
    for (;;) {
      const { bytesRead, buffer } = await attempt("read", path, () =>
        handle.read({ buffer: Buffer.allocUnsafe(READ_BYTES) }),
      );
      if (bytesRead === 0) {
        return;
      }
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/**
 * Renames, trying again: on Windows a file that a virus scanner or an indexer looks at cannot be replaced for a moment.
 */
async function renameStubbornly(from: string, to: string): Promise<void> {
  const patience = process.platform === "win32" ? 10 : 0;
  for (let tries = 0; ; tries++) {
    try {
      await rename(from, to);
      return;
    } catch (error) {
      if (tries >= patience || !hasCode(error, "EPERM", "EACCES", "EBUSY")) {
        throw error;
      }
      await sleep(50);
    }
  }
}

/** Removes a file if it can be; for what must not hide another failure. */
export async function discard(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

async function attempt<T>(verb: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw failure(verb, path, error);
  }
}

function failure(verb: string, path: string, cause: unknown): ModelComposeError {
  if (hasCode(cause, "EMFILE", "ENFILE")) {
    return new ModelComposeError(
      "download",
      `"${path}" cannot be opened: too many files are open (${errorMessage(cause)}).`,
      {
        remedy: "Raise the limit of open files of this process (ulimit -n), or run fewer things at once.",
        cause,
      },
    );
  }
  if (hasCode(cause, "ENOSPC", "EDQUOT")) {
    return new ModelComposeError("download", `There is no room on the drive for "${path}".`, {
      remedy: "Free some space, or put the cache on another drive (HF_HUB_CACHE).",
      cause,
    });
  }
  return new ModelComposeError("download", `Cannot ${verb} "${path}": ${errorMessage(cause)}.`, {
    remedy: "Check that this user may write there, or name another folder for the cache (HF_HUB_CACHE).",
    cause,
  });
}

/** Whether nothing is there: ELOOP is a link onto itself, ENOTDIR a file where a path needs a directory. */
function isMissing(error: unknown): boolean {
  return hasCode(error, "ENOENT", "ENOTDIR", "ELOOP");
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
