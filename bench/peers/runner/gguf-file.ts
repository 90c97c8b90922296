/** The model as files for llama.cpp, in the work folder. */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Progress } from "../../harness/progress.ts";
import { bytesPerToken, exportModel, type ExportType } from "../export/export-model.ts";
import type { PeersFlags } from "./flags.ts";
import { isNewer } from "./made-files.ts";

/** A file for llama.cpp. */
export interface GgufFile {
  path: string;
  weights: ExportType;
  /** Bytes of matrices that decoding a token reads. */
  weightBytesPerToken: number;
}

/** The file of a type, which is made where it is not there. */
export async function ggufFile(
  { model, work, tokenizer }: Pick<PeersFlags, "model" | "work" | "tokenizer">,
  type: ExportType,
  progress: Progress,
): Promise<GgufFile> {
  const folder = join(work, "gguf");
  const path = join(folder, `${basename(model)}-${type}.gguf`);
  if (!(await isNewer(path, model))) {
    await mkdir(folder, { recursive: true });
    await exportModel(model, path, {
      type,
      tokenizer,
      onProgress: (written, total) =>
        progress.step(`${path}: ${Math.floor((100 * written) / total)} % of ${(total / 1e9).toFixed(2)} GB`),
    });
  }
  return { path, weights: type, weightBytesPerToken: await bytesPerToken(model, type) };
}
