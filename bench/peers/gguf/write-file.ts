/** Writes a GGUF file, part by part, so that a file of any size takes little memory. */
import { open, rename, rm, statfs, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { errorMessage, ModelComposeError } from "../../../src/base/errors.ts";
import { tensorBytes, type Metadata, type TensorInfo } from "./format.ts";
import { layOut } from "./header.ts";

/** A tensor with its bytes. */
export interface TensorContents extends TensorInfo {
  /** The bytes in order, in parts; together they are what `tensorBytes` says. */
  readonly parts: () => Iterable<Uint8Array>;
}

/**
 * Writes a file. It has its name when it is whole: until then it is called PATH.part.
 *
 * @param onProgress called after every part
 * @returns bytes of the file
 * @throws ModelComposeError where the drive has too little room, or a write fails
 */
export async function writeGguf(
  path: string,
  metadata: Metadata,
  tensors: readonly TensorContents[],
  onProgress: (writtenBytes: number, fileBytes: number) => void = () => undefined,
): Promise<number> {
  const { header, offsets, fileBytes } = layOut(metadata, tensors);
  const unfinished = `${path}.part`;
  try {
    await requireRoom(path, fileBytes);
    const file = await open(unfinished, "w");
    try {
      // What no part covers, between tensors and after the last, stays zero.
      await file.truncate(fileBytes);
      await writeFully(file, header, 0);
      for (const [index, tensor] of tensors.entries()) {
        let position = offsets[index];
        for (const part of tensor.parts()) {
          await writeFully(file, part, position);
          position += part.byteLength;
          onProgress(position, fileBytes);
        }
        const written = position - offsets[index];
        if (written !== tensorBytes(tensor)) {
          throw new Error(`"${tensor.name}" got ${written} bytes; expected ${tensorBytes(tensor)}`);
        }
      }
      onProgress(fileBytes, fileBytes);
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    if (error instanceof ModelComposeError) {
      throw error;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `"${path}" could not be written: ${errorMessage(error)}.`,
      { cause: error, remedy: "Check the folder's permissions and free space, and try again." },
    );
  }
  return fileBytes;
}

async function requireRoom(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  const free = bavail * bsize;
  if (free < bytes) {
    throw new ModelComposeError(
      "invalid-argument",
      `"${path}" needs ${gigabytes(bytes)}, but its drive has ${gigabytes(free)} free.`,
      { remedy: "Free some space, or name a file on another drive." },
    );
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
