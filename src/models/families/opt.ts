/**
 * OPT (Zhang et al. 2022, https://arxiv.org/abs/2205.01068): learned positions, which the first two rows of their table are
 * before, LayerNorm and ReLU. OPT-350M norms what attention and MLP made of the residual, and its embeddings are narrower than
 * the residual. Its configuration is transformers' models/opt/configuration_opt.py, whose defaults these are.
 */
import { z } from "zod";
import type { Activation, Name, Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
import {
  count,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";

const TYPE = "opt";
/** The row of the table of positions that position 0 has. */
const OFFSET = 2;
/** PyTorch's default, which the class leaves as it is. */
const EPSILON = 1e-5;

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["model.decoder.embed_tokens.weight", "lm_head.weight"];

interface OptConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  /** Columns of the embeddings and of the LM head, which matrices make of the residual's where they are others. */
  embeddingSize: number;
  heads: number;
  headDim: number;
  activation: Activation;
  /** Whether attention and MLP read a norm of the residual; otherwise the residual is normed behind each. */
  normsBefore: boolean;
  /** Whether there is a norm behind the last layer. */
  hasFinalNorm: boolean;
  /** Whether the linear modules of layers have biases. */
  hasBias: boolean;
  tieWordEmbeddings: boolean;
}

const schema = baseSchema.extend({
  hidden_size: size,
  ffn_dim: size,
  word_embed_proj_dim: size.nullish(),
  num_hidden_layers: count,
  num_attention_heads: count,
  max_position_embeddings: positions,
  activation_function: z.string().default("relu"),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  enable_bias: z.boolean().default(true),
  layer_norm_elementwise_affine: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(given: ConfigFile): OptConfig {
  const file = withDefaults(given, { bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 });
  const values = parseConfig(file, schema);
  if (!values.layer_norm_elementwise_affine) {
    throw unsupportedConfig(
      file,
      '"layer_norm_elementwise_affine" is false; layer norms without weights are not supported: expected true.',
      "Use a model whose norms have weights, as OPT's have.",
    );
  }
  const { hidden_size: hiddenSize, num_attention_heads: heads, do_layer_norm_before: normsBefore } = values;
  return {
    ...readBase(file, values),
    hiddenSize,
    intermediateSize: values.ffn_dim,
    embeddingSize: values.word_embed_proj_dim ?? hiddenSize,
    layers: values.num_hidden_layers,
    heads,
    headDim: readHeadDim(file, ["hidden_size", hiddenSize], ["num_attention_heads", heads]),
    activation: readActivation(file, "activation_function", values.activation_function),
    normsBefore,
    hasFinalNorm: normsBefore && !values._remove_final_layer_norm,
    hasBias: values.enable_bias,
    maxPositions: values.max_position_embeddings,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function buildProgram(config: OptConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, embeddingSize, heads, headDim, maxPositions, normsBefore } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", config.intermediateSize);
  const branch = p.buffer("branch", hiddenSize);
  const isProjected = embeddingSize !== hiddenSize;
  const narrow = isProjected ? p.buffer("embedded", embeddingSize) : x;

  const epsilon = EPSILON;
  const bias = config.hasBias;

  const table = p.matrix(TABLE, vocabSize, embeddingSize);
  const positions = p.matrix("model.decoder.embed_positions.weight", maxPositions + OFFSET, hiddenSize);
  p.group("The embedding tables");
  p.op({ role: "embed", table, output: narrow });
  if (isProjected) {
    p.linear(narrow, "model.decoder.project_in", x, { bias: false });
  }
  p.op({ role: "positions", table: positions, offset: OFFSET, target: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.decoder.layers.${layer}`;
    const attention = (input: Name, target: Name): void => {
      p.linear(input, `${name}.self_attn.q_proj`, q, { bias });
      p.linear(input, `${name}.self_attn.k_proj`, k, { bias });
      p.linear(input, `${name}.self_attn.v_proj`, v, { bias });
      p.op({ role: "append", key: k, value: v, layer });
      const scale = headDim ** -0.5;
      p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
      p.linear(attended, `${name}.self_attn.out_proj`, branch, { bias });
      p.op({ role: "add", input: branch, target });
    };
    const mlp = (input: Name, target: Name, trace?: string): void => {
      p.linear(input, `${name}.fc1`, inner, { bias });
      p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
      p.linear(inner, `${name}.fc2`, branch, { bias });
      p.op({ role: "add", input: branch, target, trace });
    };
    p.group(`Layer ${layer}`);

    if (normsBefore) {
      p.layerNorm(x, `${name}.self_attn_layer_norm`, n, { epsilon });
      attention(n, x);
      p.layerNorm(x, `${name}.final_layer_norm`, n, { epsilon });
      mlp(n, x, `layers.${layer}`);
    } else {
      attention(x, x);
      p.layerNorm(x, `${name}.self_attn_layer_norm`, n, { epsilon });
      mlp(n, n);
      p.layerNorm(n, `${name}.final_layer_norm`, x, { epsilon, trace: `layers.${layer}` });
    }
  }

  p.group("The language-model head");
  if (config.hasFinalNorm) {
    p.layerNorm(x, "model.decoder.final_layer_norm", n, { epsilon, trace: "final_norm" });
  }
  const last = config.hasFinalNorm ? n : x;
  if (isProjected) {
    p.linear(last, "model.decoder.project_out", narrow, { bias: false });
  }
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, embeddingSize);
  p.op({ role: "logits", input: isProjected ? narrow : last, weight: head });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

export const opt = defineFamily({
  type: TYPE,
  architectures: ["OPTForCausalLM"],
  basePrefix: "model.",
  tied: [TABLE, HEAD],
  tokenizerClass: "GPT2Tokenizer",
  published: [
    "facebook/opt-125m",
    "facebook/opt-350m",
    "facebook/opt-1.3b",
    "facebook/opt-2.7b",
    "facebook/opt-6.7b",
    "facebook/opt-13b",
    "facebook/opt-30b",
    "facebook/opt-iml-1.3b",
  ],
  readConfig,
  buildProgram,
});
