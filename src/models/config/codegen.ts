/** CodeGen's config.json (transformers: models/codegen/configuration_codegen.py, whose defaults these are). */
import { z } from "zod";
import type { Activation } from "../../runtime/program.ts";
import { readActivation } from "./activation.ts";
import { baseSchema, readBase, type BaseConfig } from "./base.ts";
import { readHeadDim } from "./head-dim.ts";
import {
  count,
  invalidConfig,
  parseConfig,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "./schema.ts";

export interface CodeGenConfig extends BaseConfig {
  family: "codegen";
  hiddenSize: number;
  intermediateSize: number;
  /** A multiple of CODEGEN_BLOCKS. */
  heads: number;
  headDim: number;
  /** The first channels of a head, an even number, which are rotated. */
  rotaryDim: number;
  layerNormEps: number;
  activation: Activation;
  /** The LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
}

/** The fused projection is as many blocks of queries, values and keys: one for each TPU core it was trained on. */
export const CODEGEN_BLOCKS = 4;

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
  rotary_dim: size.default(64),
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  tie_word_embeddings: z.boolean().default(false),
});

/** Throws "invalid-config" for wrong values and "unsupported" for what CodeGen could have but this program has not. */
export function readCodeGenConfig(given: ConfigFile): CodeGenConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  const { n_head: heads, rotary_dim: rotaryDim } = values;
  const headDim = readHeadDim(file, ["n_embd", values.n_embd], ["n_head", heads]);
  if (heads % CODEGEN_BLOCKS !== 0) {
    throw invalidConfig(file, `"n_head" is ${heads}; expected a multiple of ${CODEGEN_BLOCKS}.`);
  }
  if (rotaryDim % 2 !== 0 || rotaryDim > headDim) {
    throw invalidConfig(
      file,
      `"rotary_dim" is ${rotaryDim}; expected an even number of at most the head dimension, ${headDim}.`,
    );
  }
  return {
    family: "codegen",
    ...readBase(file, values),
    hiddenSize: values.n_embd,
    intermediateSize: values.n_inner ?? 4 * values.n_embd,
    layers: values.n_layer,
    heads,
    headDim,
    rotaryDim,
    layerNormEps: values.layer_norm_epsilon,
    activation: readActivation(file, "activation_function", values.activation_function),
    maxPositions: values.n_positions,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}
