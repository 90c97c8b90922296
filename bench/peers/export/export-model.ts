/** Writes a model as a GGUF file. */
import { hasTokenizer } from "../../../src/models/tokenizer/tokenizer.ts";
import { tensorBytes, type TensorType } from "../gguf/format.ts";
import { writeGguf } from "../gguf/write-file.ts";
import { openLlamaModel } from "./llama-model.ts";
import { modelMetadata } from "./metadata.ts";
import { isReadWhole, planTensors } from "./tensors.ts";
import { tensorParts } from "./tensor-parts.ts";
import { standInTokenizer, tokenizerMetadata } from "./tokenizer.ts";

/** The types that a file's matrices may have. */
export const EXPORT_TYPES = ["bf16", "f16", "q8_0", "q4_0"] as const;
export type ExportType = (typeof EXPORT_TYPES)[number];

/** Bits of an element, without the scales. */
export const ELEMENT_BITS: Readonly<Record<ExportType, number>> = { bf16: 16, f16: 16, q8_0: 8, q4_0: 4 };

export interface ExportOptions {
  /** What the matrices are stored as. */
  readonly type: ExportType;
  /** What embeddings and LM head are stored as; default: like the other matrices. */
  readonly embeddings?: ExportType;
  /** The folder of the tokenizer and the chat template; default: the model's. */
  readonly tokenizer?: string;
  readonly onProgress?: (writtenBytes: number, fileBytes: number) => void;
}

export interface Exported {
  readonly fileBytes: number;
  /** Whether the tokenizer is a model's: a random model has none, and gets a stand-in. */
  readonly hasTokenizer: boolean;
}

/**
 * Writes the model of a folder to `path`.
 *
 * @throws ModelComposeError for a model that is not exported, or a file that cannot be written
 */
export async function exportModel(
  directory: string,
  path: string,
  options: ExportOptions,
): Promise<Exported> {
  const model = await openLlamaModel(directory);
  const { type, embeddings = type } = options;
  const tokenizer = options.tokenizer ?? ((await hasTokenizer(directory)) ? directory : undefined);
  const metadata = new Map([
    ...modelMetadata(model, type),
    ...(tokenizer === undefined
      ? standInTokenizer(model.config)
      : await tokenizerMetadata(tokenizer, model.config.vocabSize)),
  ]);
  const tensors = planTensors(model, { matrices: type, embeddings }).map((plan) => ({
    ...plan,
    parts: () => tensorParts(plan),
  }));
  const fileBytes = await writeGguf(path, metadata, tensors, options.onProgress);
  return { fileBytes, hasTokenizer: tokenizer !== undefined };
}

/** Bytes of weights that decoding a token reads, when matrices are stored like this. */
export async function bytesPerToken(directory: string, type: TensorType): Promise<number> {
  const tensors = planTensors(await openLlamaModel(directory), { matrices: type, embeddings: type });
  return tensors
    .filter((tensor) => isReadWhole(tensor, tensors))
    .reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
}
