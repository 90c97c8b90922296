/**
 * GPT-2 (Radford et al. 2019): a pre-norm decoder with LayerNorm, learned positions and GELU. DialoGPT (Zhang et al.
 * 2020, https://arxiv.org/abs/1911.00536) is this. Its Conv1D modules keep matrices as [in, out], and the three
 * projections of attention in one. Its configuration is transformers' models/gpt2/configuration_gpt2.py, whose defaults
 * these are.
 */
import { z } from "zod";
import type { Activation, Program } from "../../runtime/program.ts";
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
  withAliases,
  withDefaults,
  type ConfigFile,
  epsilon as epsilonSchema,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";

const TYPE = "gpt2";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];

interface Gpt2Config extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  /** Whether scores are divided by the square root of headDim. */
  scalesScores: boolean;
  /** Whether scores are divided by the layer's number, from 1. */
  scalesScoresByLayer: boolean;
  /** Whether the LM head is the embedding matrix. */
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
  n_positions: positions,
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  // The key reorder_and_upcast_attn is not read: it keeps scores in f32, where they are anyway.
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(given: ConfigFile): Gpt2Config {
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

function buildProgram(config: Gpt2Config, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, headDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;
  const conv1d = (input: string, module: string, rows: number, output: string): void => {
    p.linear(input, module, output, { bias: true, from: { module, rows, transposed: true } });
  };

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  const positions = p.matrix("transformer.wpe.weight", maxPositions, hiddenSize);
  p.group("The embedding tables");
  p.op({ role: "embed", table, output: x });
  p.op({ role: "positions", table: positions, offset: 0, target: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    for (const [i, [projection, output]] of Object.entries({ q, k, v }).entries()) {
      const ranges = [{ start: i * hiddenSize, end: (i + 1) * hiddenSize }];
      const from = { module: `${name}.attn.c_attn`, rows: 3 * hiddenSize, transposed: true, ranges };
      p.linear(n, `${name}.attn.${projection}_proj`, output, { bias: true, from });
    }
    p.op({ role: "append", key: k, value: v, layer });
    const scale = (config.scalesScores ? headDim ** -0.5 : 1) / (config.scalesScoresByLayer ? layer + 1 : 1);
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
    conv1d(attended, `${name}.attn.c_proj`, hiddenSize, branch);
    p.op({ role: "add", input: branch, target: x });

    p.layerNorm(x, `${name}.ln_2`, n, { epsilon });
    conv1d(n, `${name}.mlp.c_fc`, intermediateSize, inner);
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    conv1d(inner, `${name}.mlp.c_proj`, hiddenSize, branch);
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

export const gpt2 = defineFamily({
  type: TYPE,
  architectures: ["GPT2LMHeadModel"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  tokenizerClass: "GPT2Tokenizer",
  published: [
    "openai-community/gpt2",
    "openai-community/gpt2-medium",
    "openai-community/gpt2-large",
    "openai-community/gpt2-xl",
    "microsoft/DialoGPT-small",
    "microsoft/DialoGPT-medium",
    "microsoft/DialoGPT-large",
  ],
  readConfig,
  buildProgram,
});
