/** GPT-2's config.json (transformers: models/gpt2/configuration_gpt2.py, whose defaults these are). */
import { z } from "zod";
import type { Activation } from "../../runtime/program.ts";
import { readActivation } from "./activation.ts";
import { baseSchema, readBase, type BaseConfig } from "./base.ts";
import {
  count,
  parseConfig,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "./schema.ts";
import { readHeadDim } from "./head-dim.ts";

export interface Gpt2Config extends BaseConfig {
  family: "gpt2";
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  /** Scores are divided by the square root of headDim. */
  scalesScores: boolean;
  /** Scores are divided by the layer's number, from 1. */
  scalesScoresByLayer: boolean;
  /** The LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
}

const ALIASES = {
  hidden_size: "n_embd",
  max_position_embeddings: "n_positions",
  num_attention_heads: "n_head",
  num_hidden_layers: "n_layer",
};

const schema = baseSchema.extend({
  n_embd: size,
  n_inner: size.nullish(),
  n_layer: count,
  n_head: count,
  n_positions: size,
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  // reorder_and_upcast_attn keeps scores in f32, where they are anyway.
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

/** Throws "invalid-config" for wrong values and "unsupported" for what GPT-2 could have but this program has not. */
export function readGpt2Config(given: ConfigFile): Gpt2Config {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  if (values.add_cross_attention) {
    throw unsupportedConfig(
      file,
      '"add_cross_attention" is true; cross-attention is not supported for this model.',
      "Use a model that is a decoder alone.",
    );
  }
  return {
    family: "gpt2",
    ...readBase(file, values),
    hiddenSize: values.n_embd,
    intermediateSize: values.n_inner ?? 4 * values.n_embd,
    layers: values.n_layer,
    heads: values.n_head,
    headDim: readHeadDim(file, ["n_embd", values.n_embd], ["n_head", values.n_head]),
    layerNormEps: values.layer_norm_epsilon,
    activation: readActivation(file, "activation_function", values.activation_function),
    maxPositions: values.n_positions,
    scalesScores: values.scale_attn_weights,
    scalesScoresByLayer: values.scale_attn_by_inverse_layer_idx,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}
