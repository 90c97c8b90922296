/** The metadata of a GGUF file: what llama.cpp must know of a model besides its weights. */
import { basename } from "node:path";
import { TENSOR_TYPES, type MetadataValue, type TensorType } from "../gguf/format.ts";
import type { LlamaModel } from "./llama-model.ts";

/** The version of ggml's quantised types that files are said to have. */
const QUANTIZATION_VERSION = 2;

/**
 * What llama.cpp must know of the model.
 *
 * @param type of the matrices
 */
export function modelMetadata(
  { directory, architecture, config }: LlamaModel,
  type: TensorType,
): Map<string, MetadataValue> {
  const metadata = new Map<string, MetadataValue>([
    ["general.architecture", { type: "string", value: architecture }],
    ["general.name", { type: "string", value: basename(directory) }],
    ["general.file_type", { type: "uint32", value: TENSOR_TYPES[type].fileType }],
    ["general.quantization_version", { type: "uint32", value: QUANTIZATION_VERSION }],
  ]);
  const sizes = {
    vocab_size: config.vocabSize,
    context_length: config.maxPositions,
    embedding_length: config.hiddenSize,
    block_count: config.layers,
    feed_forward_length: config.intermediateSize,
    "attention.head_count": config.heads,
    "attention.head_count_kv": config.kvHeads,
    "attention.key_length": config.headDim,
    "attention.value_length": config.headDim,
    "rope.dimension_count": config.headDim,
  };
  for (const [key, value] of Object.entries(sizes)) {
    metadata.set(`${architecture}.${key}`, { type: "uint32", value });
  }
  const numbers = {
    "attention.layer_norm_rms_epsilon": config.rmsNormEps,
    "rope.freq_base": config.rope.theta,
  };
  for (const [key, value] of Object.entries(numbers)) {
    metadata.set(`${architecture}.${key}`, { type: "float32", value });
  }
  return metadata;
}
