/**
 * Model files on disk: the only module that touches node:fs for them. The main thread reads small files and
 * headers asynchronously; worker threads read weights synchronously, straight into their own memory.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { ModelComposeError, errorMessage, type ErrorCode } from "../../base/errors.ts";
import { parseJsonObject, type JsonObject } from "../../base/json.ts";

/** One system call reads at most this much: well under the 2 GiB at which platforms cut reads short or fail. */
const MAX_READ_BYTES = 2 ** 29;

const MB = 2 ** 20;

/** The most bytes of files that are read whole, by what they are: far more than any real one has. */
export const FILE_LIMITS = {
  /** config.json, generation_config.json, tokenizer_config.json and their kind: some kilobytes. */
  config: 4 * MB,
  /** tokenizer.json, vocab.json, merges.txt: up to 35 MB. */
  tokenizer: 64 * MB,
  /** An index of shards: a line for each tensor. */
  index: 64 * MB,
  /** A chat template. */
  template: 4 * MB,
} as const;

/** What is at a path. */
export interface FileStatus {
  kind: "file" | "directory" | "other";
  /** Size in bytes. */
  size: number;
}

/** A file opened for synchronous positioned reads. */
export interface OpenFile {
  readonly path: string;
  /** Size in bytes when the file was opened. */
  readonly size: number;
  /**
   * Fills all of `target` with the bytes from `position` on. `target` may be a view on a SharedArrayBuffer or on
   * the memory of a WebAssembly instance. Throws "invalid-checkpoint" when the file ends before that.
   */
  read(target: Uint8Array, position: number): void;
  /** Closes the file. Idempotent. */
  close(): void;
}

/** Opens a file for synchronous reads (worker threads only: these calls block). Throws "not-found". */
export function openFile(path: string): OpenFile {
  const descriptor = attempt(path, () => openSync(path, "r"));
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) {
      return;
    }
    isOpen = false;
    closeSync(descriptor);
  };
  try {
    return {
      path,
      size: attempt(path, () => fstatSync(descriptor)).size,
      read(target, position) {
        if (!isOpen) {
          throw new ModelComposeError("disposed", `"${path}" was read after it was closed.`);
        }
        let done = 0;
        while (done < target.byteLength) {
          const part = target.subarray(done, done + MAX_READ_BYTES);
          const count = attempt(path, () => readSync(descriptor, part, 0, part.byteLength, position + done));
          if (count === 0) {
            throw endedEarly(path, position, target.byteLength, done);
          }
          done += count;
        }
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** A file opened for synchronous positioned writes. */
export interface WritableFile {
  /** Writes all of `bytes`, which may be a view on a SharedArrayBuffer, at `position`. Throws what the system says. */
  write(bytes: Uint8Array, position: number): void;
  close(): void;
}

/** Opens a file that is there for writing into it (worker threads only: these calls block). Throws what the system says. */
export function openFileForWriting(path: string): WritableFile {
  const descriptor = openSync(path, "r+");
  return {
    write(bytes, position) {
      let done = 0;
      while (done < bytes.byteLength) {
        done += writeSync(descriptor, bytes, done, bytes.byteLength - done, position + done);
      }
    },
    close: () => {
      closeSync(descriptor);
    },
  };
}

/** A file opened for asynchronous positioned reads, several at once if the caller likes. */
export interface AsyncFile {
  /** Reads as OpenFile.read does. `target` may also be a mapped GPU buffer. */
  read(target: Uint8Array, position: number): Promise<void>;
  /** Closes the file. Idempotent. */
  close(): Promise<void>;
}

/** Opens a file for reads beside which the calling thread goes on. Throws "not-found". */
export async function openFileAsync(path: string): Promise<AsyncFile> {
  const handle = await attemptAsync(path, () => open(path, "r"));
  return {
    async read(target, position) {
      let done = 0;
      while (done < target.byteLength) {
        const length = Math.min(target.byteLength - done, MAX_READ_BYTES);
        const { bytesRead } = await attemptAsync(path, () =>
          handle.read(target, done, length, position + done),
        );
        if (bytesRead === 0) {
          throw endedEarly(path, position, target.byteLength, done);
        }
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** The `length` bytes of a file from `position` on. Throws "not-found", or "invalid-checkpoint" when they are not there. */
export async function readFileRange(path: string, position: number, length: number): Promise<Uint8Array> {
  const file = await openFileAsync(path);
  try {
    const bytes = new Uint8Array(length);
    await file.read(bytes, position);
    return bytes;
  } finally {
    await file.close();
  }
}

/** A whole small file (configuration, tokenizer). Throws "not-found" when it is not there or cannot be read. */
export async function readSmallFile(path: string, kind: keyof typeof FILE_LIMITS): Promise<Uint8Array> {
  const status = await fileStatus(path);
  if (status !== undefined && status.size > FILE_LIMITS[kind]) {
    throw new ModelComposeError(
      "invalid-config",
      `"${path}" has ${status.size} bytes; expected at most ${FILE_LIMITS[kind]}.`,
      { remedy: "Check that it is the file its name says." },
    );
  }
  return attemptAsync(path, () => readFile(path));
}

/** Reads and parses a file that must hold one JSON object. Throws "not-found" when there is no such file. */
export async function readJsonObject(
  path: string,
  kind: keyof typeof FILE_LIMITS,
  { code, remedy }: { code: ErrorCode; remedy: string },
): Promise<JsonObject> {
  return parseJsonObject(await readSmallFile(path, kind), { name: `"${path}"`, code, remedy });
}

/** What a path is, symbolic links followed; undefined when nothing is there (or a link leads nowhere). */
export async function fileStatus(path: string): Promise<FileStatus | undefined> {
  try {
    const found = await stat(path);
    const kind = found.isFile() ? "file" : found.isDirectory() ? "directory" : "other";
    return { kind, size: found.size };
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw unreadable(path, error);
  }
}

export async function isFile(path: string): Promise<boolean> {
  return (await fileStatus(path))?.kind === "file";
}

export async function isDirectory(path: string): Promise<boolean> {
  return (await fileStatus(path))?.kind === "directory";
}

/** The names in a directory, sorted; empty when there is no such directory. */
export async function listDirectory(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw unreadable(path, error);
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function attemptAsync<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Whether nothing is there: ELOOP is a link onto itself, ENOTDIR a file where a path needs a directory. */
function isMissing(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && ["ENOENT", "ENOTDIR", "ELOOP"].includes(String(error.code))
  );
}

function unreadable(path: string, cause: unknown): ModelComposeError {
  if (cause instanceof Error && "code" in cause && ["EMFILE", "ENFILE"].includes(String(cause.code))) {
    return new ModelComposeError(
      "not-found",
      `"${path}" cannot be opened: too many files are open (${errorMessage(cause)}).`,
      {
        remedy: "Raise the limit of open files of this process (ulimit -n), or run fewer things at once.",
        cause,
      },
    );
  }
  if (isMissing(cause)) {
    return new ModelComposeError("not-found", `"${path}" does not exist.`, {
      remedy: "Check the path.",
      cause,
    });
  }
  return new ModelComposeError("not-found", `"${path}" cannot be read: ${errorMessage(cause)}.`, {
    remedy: "Check that it is a file that this user may read.",
    cause,
  });
}

function endedEarly(path: string, position: number, length: number, done: number): ModelComposeError {
  return new ModelComposeError(
    "invalid-checkpoint",
    `"${path}" ended before byte ${position + done}; expected ${length} bytes from byte ${position} on.`,
    { remedy: "The file is truncated or was changed while it was read: fetch it again." },
  );
}
