/**
 * What the config.json of Llama-like decoders has in common (transformers: models/llama/configuration_llama.py and those
 * copied from it).
 */
import { z } from "zod";
import type { RopeParameters } from "./rope.ts";
import { type BaseConfig, baseSchema, readBase } from "./base.ts";
import { readHeadDim } from "./head-dim.ts";
import { readRopeParameters } from "./rope-parameters.ts";
import { type ConfigFile, count, headSize, invalidConfig, size, unsupportedConfig } from "./schema.ts";

export interface LlamaDecoderConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads; divides `heads`. */
  kvHeads: number;
  headDim: number;
  rmsNormEps: number;
  rope: RopeParameters;
  /** One a layer: false for layers without positional encoding (NoPE). */
  usesRope: boolean[];
  /** The LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  mlpBias: boolean;
}

/** Keys that transformers writes into every file are required: a default there would hide a damaged file. */
export const decoderSchema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: headSize.nullish(),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: size,
  tie_word_embeddings: z.boolean(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the decoder does not do */
export function readLlamaDecoder(
  file: ConfigFile,
  values: z.output<typeof decoderSchema>,
  { usesRope, defaultTheta }: { usesRope: boolean[]; defaultTheta: number },
): LlamaDecoderConfig {
  if (values.hidden_act !== "silu" && values.hidden_act !== "swish") {
    throw unsupportedConfig(
      file,
      `"hidden_act" is "${values.hidden_act}"; supported is "silu".`,
      "Use a model with SwiGLU activations.",
    );
  }
  const heads = values.num_attention_heads;
  const kvHeads = values.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw invalidConfig(
      file,
      `"num_attention_heads" is ${heads}; expected a multiple of "num_key_value_heads", ${kvHeads}.`,
    );
  }
  const headDim =
    values.head_dim ??
    readHeadDim(
      file,
      ["hidden_size", values.hidden_size],
      ["num_attention_heads", values.num_attention_heads],
      ', or a "head_dim"',
    );
  if (headDim % 2 !== 0 && usesRope.includes(true)) {
    throw invalidConfig(
      file,
      `the head dimension is ${headDim}; RoPE turns pairs of channels: expected an even number.`,
    );
  }
  return {
    ...readBase(file, values),
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rmsNormEps: values.rms_norm_eps,
    maxPositions: values.max_position_embeddings,
    rope: readRopeParameters(file, defaultTheta),
    usesRope,
    tieWordEmbeddings: values.tie_word_embeddings,
    attentionBias: values.attention_bias,
    mlpBias: values.mlp_bias,
  };
}
