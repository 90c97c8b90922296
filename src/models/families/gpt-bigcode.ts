/**
 * GPT-BigCode: StarCoder and SantaCoder (Li et al. 2023, https://arxiv.org/abs/2305.06161). GPT-2 whose query heads share one
 * key head (Shazeer 2019, https://arxiv.org/abs/1911.02150), and whose matrices lie as [out, in]. Its configuration is
 * transformers' models/gpt_bigcode/configuration_gpt_bigcode.py, whose defaults these are.
 */
import { z } from "zod";
import type { Activation, Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
import {
  count,
  epsilon as epsilonSchema,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { groupedSource } from "./shared/grouped-projection.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";

const TYPE = "gpt_bigcode";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];

interface GptBigCodeConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  /** One, or as many as there are query heads. */
  kvHeads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  /** Whether scores are divided by the square root of headDim. */
  scalesScores: boolean;
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
  activation_function: z.string().default("gelu_pytorch_tanh"),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  // The keys attention_softmax_in_fp32 and scale_attention_softmax_in_fp32 are not read: scores are in f32 anyway.
  multi_query: z.boolean().default(true),
  add_cross_attention: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(given: ConfigFile): GptBigCodeConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  if (values.add_cross_attention) {
    throw unsupportedConfig(
      file,
      '"add_cross_attention" is true; cross-attention is not supported for this model.',
      "Use a model that is a decoder alone.",
    );
  }
  const { n_head: heads, n_embd: hiddenSize } = values;
  return {
    ...readBase(file, values),
    hiddenSize,
    intermediateSize: values.n_inner ?? 4 * hiddenSize,
    layers: values.n_layer,
    heads,
    kvHeads: values.multi_query ? 1 : heads,
    headDim: readHeadDim(file, ["n_embd", hiddenSize], ["n_head", heads]),
    layerNormEps: values.layer_norm_epsilon,
    activation: readActivation(file, "activation_function", values.activation_function),
    maxPositions: values.n_positions,
    scalesScores: values.scale_attn_weights,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function buildProgram(config: GptBigCodeConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, kvHeads, headDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", config.intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;
  const bias = true;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  const positions = p.matrix("transformer.wpe.weight", maxPositions, hiddenSize);
  p.group("The embedding tables");
  p.op({ role: "embed", table, output: x });
  p.op({ role: "positions", table: positions, offset: 0, target: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    const fused = `${name}.attn.c_attn`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    p.linear(n, `${name}.attn.query`, q, { bias, from: groupedSource(fused, "query", config) });
    p.linear(n, `${name}.attn.key`, k, { bias, from: groupedSource(fused, "key", config) });
    p.linear(n, `${name}.attn.value`, v, { bias, from: groupedSource(fused, "value", config) });
    p.op({ role: "append", key: k, value: v, layer });
    const scale = config.scalesScores ? headDim ** -0.5 : 1;
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
    p.linear(attended, `${name}.attn.c_proj`, branch, { bias });
    p.op({ role: "add", input: branch, target: x });

    p.layerNorm(x, `${name}.ln_2`, n, { epsilon });
    p.linear(n, `${name}.mlp.c_fc`, inner, { bias });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.c_proj`, branch, { bias });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  p.op({ role: "logits", input: n, weight: isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize) });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}

export const gptBigCode = defineFamily({
  type: TYPE,
  architectures: ["GPTBigCodeForCausalLM"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  published: [
    "bigcode/starcoderbase-1b",
    "bigcode/starcoderbase-3b",
    "bigcode/starcoderbase-7b",
    "bigcode/starcoder",
    "bigcode/gpt_bigcode-santacoder",
    "bigcode/tiny_starcoder_py",
  ],
  readConfig,
  buildProgram,
});
