/** SmolLM3's config.json (transformers: models/smollm3/configuration_smollm3.py, whose defaults these are). */
import { z } from "zod";
import { describeJson } from "../../runtime/json.ts";
import type { RopeParameters } from "../rope.ts";
import { readRopeParameters } from "./rope-parameters.ts";
import {
  type ConfigFile,
  count,
  invalidConfig,
  parseConfig,
  size,
  tokenId,
  tokenIds,
  unsupportedConfig,
} from "./schema.ts";

export interface SmolLM3Config {
  family: "smollm3";
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads; divides `heads`. */
  kvHeads: number;
  headDim: number;
  rmsNormEps: number;
  /** Context the model was made for, in tokens. */
  maxPositions: number;
  rope: RopeParameters;
  /** One a layer: false for layers without positional encoding (NoPE). */
  usesRope: boolean[];
  /** The LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  mlpBias: boolean;
  bosTokenId?: number;
  /** Empty when the file names none. */
  eosTokenIds: number[];
  padTokenId?: number;
}

const DEFAULT_THETA = 2_000_000;

/** Keys that transformers writes into every file are required: a default there would hide a damaged file. */
const schema = z.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullable(),
  head_dim: size.nullish(),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: size.default(32_768),
  // transformers leaves it out where it is true.
  tie_word_embeddings: z.boolean().default(true),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  no_rope_layers: z.array(z.literal([0, 1], { error: "expected 0 or 1" })).nullish(),
  no_rope_layer_interval: count.default(4),
  layer_types: z.array(z.string()).nullish(),
  use_sliding_window: z.boolean().default(false),
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds.nullish(),
  // -1 is how some tools write "none".
  pad_token_id: z.int().min(-1).nullish(),
});

type Values = z.output<typeof schema>;

/** Throws "invalid-config" for wrong values and "unsupported" for what SmolLM3 could have but this program has not. */
export function readSmolLM3Config(file: ConfigFile): SmolLM3Config {
  const values = parseConfig(file, schema);
  refuseUnsupported(file, values);
  const heads = values.num_attention_heads;
  const kvHeads = values.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw invalidConfig(
      file,
      `"num_attention_heads" is ${heads}; expected a multiple of "num_key_value_heads", ${kvHeads}.`,
    );
  }
  const usesRope = readUsesRope(file, values);
  const headDim = readHeadDim(file, values);
  if (headDim % 2 !== 0 && usesRope.includes(true)) {
    throw invalidConfig(file, `the head dimension is ${headDim}; RoPE turns pairs of channels: expected an even number.`);
  }
  return {
    family: "smollm3",
    vocabSize: values.vocab_size,
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rmsNormEps: values.rms_norm_eps,
    maxPositions: values.max_position_embeddings,
    rope: readRopeParameters(file, DEFAULT_THETA),
    usesRope,
    tieWordEmbeddings: values.tie_word_embeddings,
    attentionBias: values.attention_bias,
    mlpBias: values.mlp_bias,
    ...readSpecialTokens(file, values),
  };
}

function refuseUnsupported(file: ConfigFile, values: Values): void {
  if (values.hidden_act !== "silu" && values.hidden_act !== "swish") {
    throw unsupportedConfig(
      file,
      `"hidden_act" is "${values.hidden_act}"; supported is "silu".`,
      "Use a model with SwiGLU activations.",
    );
  }
  if (values.use_sliding_window) {
    throw unsupportedConfig(
      file,
      `"use_sliding_window" is true; sliding-window attention is not supported for this model.`,
      "Use a model with full attention.",
    );
  }
  const types = values.layer_types;
  if (!types) return;
  if (types.length !== values.num_hidden_layers) {
    throw invalidConfig(
      file,
      `"layer_types" has ${types.length} entries; expected "num_hidden_layers", ${values.num_hidden_layers}.`,
    );
  }
  const other = types.findIndex((type) => type !== "full_attention");
  if (other >= 0) {
    throw unsupportedConfig(
      file,
      `"layer_types" has ${describeJson(types[other])} for layer ${other}; supported is "full_attention".`,
      "Use a model with full attention.",
    );
  }
}

function readUsesRope(file: ConfigFile, values: Values): boolean[] {
  const layers = values.num_hidden_layers;
  const given = values.no_rope_layers;
  if (!given) {
    return Array.from({ length: layers }, (_, layer) => (layer + 1) % values.no_rope_layer_interval !== 0);
  }
  if (given.length !== layers) {
    throw invalidConfig(
      file,
      `"no_rope_layers" has ${given.length} entries; expected "num_hidden_layers", ${layers}.`,
    );
  }
  // Against its name: 1 is a layer with RoPE.
  return given.map((flag) => flag === 1);
}

function readHeadDim(file: ConfigFile, values: Values): number {
  if (values.head_dim) return values.head_dim;
  const headDim = values.hidden_size / values.num_attention_heads;
  if (Number.isInteger(headDim)) return headDim;
  throw invalidConfig(
    file,
    `"hidden_size" is ${values.hidden_size}; expected a multiple of "num_attention_heads", ` +
      `${values.num_attention_heads}, or a "head_dim".`,
  );
}

function readSpecialTokens(
  file: ConfigFile,
  values: Values,
): Pick<SmolLM3Config, "bosTokenId" | "eosTokenIds" | "padTokenId"> {
  const padTokenId = values.pad_token_id === -1 ? undefined : (values.pad_token_id ?? undefined);
  const bosTokenId = values.bos_token_id ?? undefined;
  const eosTokenIds = values.eos_token_id ?? [];
  const named: [string, readonly (number | undefined)[]][] = [
    ["bos_token_id", [bosTokenId]],
    ["eos_token_id", eosTokenIds],
    ["pad_token_id", [padTokenId]],
  ];
  for (const [key, ids] of named) {
    const outside = ids.find((id) => id !== undefined && id >= values.vocab_size);
    if (outside !== undefined) {
      throw invalidConfig(file, `"${key}" has ${outside}; expected less than "vocab_size", ${values.vocab_size}.`);
    }
  }
  return { bosTokenId, eosTokenIds, padTokenId };
}
