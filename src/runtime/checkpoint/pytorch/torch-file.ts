import { ModelComposeError } from "../../../base/errors.ts";
import { REFETCH_FILE } from "../foreign-file.ts";
import type { AsyncFile } from "../../platform/files.ts";

/** A file of torch.save while its headers are read. */
export interface TorchFile {
  path: string;
  /** Size in bytes. */
  size: number;
  file: AsyncFile;
}

/**
 * An "invalid-checkpoint" error about the file.
 *
 * @param problem what is wrong, as words that follow the file's name
 */
export function invalidTorchFile(path: string, problem: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError("invalid-checkpoint", `"${path}" ${problem}.`, {
    remedy: REFETCH_FILE,
    cause,
  });
}
