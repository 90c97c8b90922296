/** Weight files that torch.save wrote: which of its formats one is. */
import { ModelComposeError } from "../../../base/errors.ts";
import { remedyForForeignFile } from "../foreign-file.ts";
import { fileStatus, openFileAsync } from "../../platform/files.ts";
import type { TensorLocation } from "../tensor-location.ts";
import { readLegacyStream } from "./legacy-stream.ts";
import { readZipArchive } from "./zip-archive.ts";

const START_BYTES = 512;
/** Where "ustar" stands in the header of a tar file, in bytes. */
const TAR_MAGIC_OFFSET = 257;

/**
 * Where the tensors of a state dict lie, in the order of the file; no weight is read and nothing in the file is run. Two
 * tensors may have the same bytes, and a tensor may have strides. Throws "not-found"; "invalid-checkpoint" for a file that
 * is damaged; "unsupported" for Python objects other than tensors, for compression and for other formats.
 */
export async function readPytorchFile(path: string): Promise<TensorLocation[]> {
  const size = (await fileStatus(path))?.size ?? 0;
  const file = await openFileAsync(path);
  try {
    const start = new Uint8Array(Math.min(START_BYTES, size));
    await file.read(start, 0);
    if (hasText(start, 0, "PK\x03\x04")) {
      return await readZipArchive({ path, size, file });
    }
    // A pickle begins with PROTO.
    if (start[0] === 0x80) {
      return await readLegacyStream({ path, size, file });
    }
    if (hasText(start, TAR_MAGIC_OFFSET, "ustar")) {
      throw new ModelComposeError(
        "unsupported",
        `"${path}" is a tar file, as the first versions of PyTorch wrote.`,
        {
          remedy: "Load and save it again with PyTorch, or use a checkpoint in safetensors format.",
        },
      );
    }
    throw new ModelComposeError(
      "invalid-checkpoint",
      `"${path}" is not a file of torch.save: it has ${size} bytes and begins neither as a zip file nor as a pickle.`,
      { remedy: await remedyForForeignFile(path) },
    );
  } finally {
    await file.close();
  }
}

function hasText(bytes: Uint8Array, offset: number, text: string): boolean {
  return text === String.fromCharCode(...bytes.subarray(offset, offset + text.length));
}
