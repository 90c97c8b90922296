import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import { openOwnFile } from "../../runtime/platform/own-files.ts";
import { logFile } from "../../registry/launch.ts";
import { projectFilesOf, type ProjectFlags } from "../model-project.ts";
import type { CommandContext } from "./run.ts";

export interface LogsFlags extends ProjectFlags {
  readonly follow?: boolean;
  /** Number of lines at the end to show. Absent: all. */
  readonly tail?: number;
}

const POLL_MILLISECONDS = 250;
const CHUNK_BYTES = 64 * 1024;

/** `model-compose logs`: shows the log of the project's detached server, also when that has ended. */
export async function logs(flags: LogsFlags, { terminal, signal }: CommandContext): Promise<void> {
  const file = await openLog(await logFile(await projectFilesOf(flags)));
  try {
    let position = flags.tail === undefined ? 0 : await startOfTail(file, flags.tail);
    const decoder = new TextDecoder();
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, position);
      if (bytesRead > 0) {
        position += bytesRead;
        await terminal.write(decoder.decode(buffer.subarray(0, bytesRead), { stream: true }));
      } else if (flags.follow !== true) {
        return;
      }
      // A new server of the project begins the log anew.
      else if ((await file.stat()).size < position) {
        position = 0;
      } else {
        await sleep(POLL_MILLISECONDS, undefined, { signal });
      }
    }
  } catch (error) {
    if (signal.aborted) {
      throw new AbortError(signal.reason);
    }
    throw error;
  } finally {
    await file.close();
  }
}

async function openLog(path: string): Promise<FileHandle> {
  try {
    return await openOwnFile(path, "read");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw error;
    }
    throw new ModelComposeError("not-found", "There is no log of this project.", {
      cause: error,
      remedy: "Servers that were started with model-compose up --detach keep one.",
    });
  }
}

/** The position in bytes at which the last `lines` lines begin. */
async function startOfTail(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  let position = size;
  let missing = lines;
  while (position > 0) {
    const length = Math.min(CHUNK_BYTES, position);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, position - length);
    for (let i = length - 1; i >= 0; i--) {
      // The newline that ends the last line, which may still be without one, begins no other.
      if (buffer[i] === 0x0a && position - length + i < size - 1 && --missing === 0) {
        return position - length + i + 1;
      }
    }
    position -= length;
  }
  return 0;
}
