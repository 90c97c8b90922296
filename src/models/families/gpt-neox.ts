/**
 * GPT-NeoX (Black et al. 2022, https://arxiv.org/abs/2204.06745), of which Pythia (Biderman et al. 2023) is one too:
 * attention and MLP are added to the residual side by side, each behind a norm of its own; the first channels of a head
 * are rotated. Its configuration is transformers' models/gpt_neox/configuration_gpt_neox.py, whose defaults these are.
 */
import { z } from "zod";
import type { Activation, Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
import { readRopeParameters, readRotaryDim, type RopeParameters } from "../config/rope-parameters.ts";
import {
  count,
  epsilon as epsilonSchema,
  parseConfig,
  positions,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { groupedSource } from "./shared/grouped-projection.ts";
import { ModuleBuilder, type ModuleSource } from "./shared/module-builder.ts";
import { ropeFrequencies } from "./shared/rope-frequencies.ts";

const TYPE = "gpt_neox";
const THETA = 10_000;

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["gpt_neox.embed_in.weight", "embed_out.weight"];

interface GptNeoXConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  headDim: number;
  /** How many channels of a head, the first ones, are rotated. */
  rotaryDim: number;
  rope: RopeParameters;
  layerNormEps: number;
  activation: Activation;
  attentionBias: boolean;
  /** Whether the MLP reads what the layer reads, not the sum with attention. */
  isParallel: boolean;
  tieWordEmbeddings: boolean;
}

const schema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  max_position_embeddings: positions,
  hidden_act: z.string().default("gelu"),
  layer_norm_eps: epsilonSchema.default(1e-5),
  attention_bias: z.boolean().default(true),
  use_parallel_residual: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
});

function readConfig(given: ConfigFile): GptNeoXConfig {
  const aliased = withAliases(given, { rotary_emb_base: "rope_theta", rotary_pct: "partial_rotary_factor" });
  const defaults = { bos_token_id: 0, eos_token_id: 2, partial_rotary_factor: 0.25 };
  const file = withDefaults(aliased, { ...defaults, max_position_embeddings: 2048 });
  const values = parseConfig(file, schema);
  const heads = values.num_attention_heads;
  const headDim = readHeadDim(file, ["hidden_size", values.hidden_size], ["num_attention_heads", heads]);
  return {
    ...readBase(file, values),
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    headDim,
    rotaryDim: readRotaryDim(file, headDim),
    rope: readRopeParameters(file, THETA, { isPartial: true }),
    layerNormEps: values.layer_norm_eps,
    activation: readActivation(file, "hidden_act", values.hidden_act),
    attentionBias: values.attention_bias,
    isParallel: values.use_parallel_residual,
    maxPositions: values.max_position_embeddings,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function buildProgram(config: GptNeoXConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, headDim, rotaryDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("attention.normed", hiddenSize);
  const m = p.buffer("mlp.normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", config.intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;
  const bias = config.attentionBias;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `gpt_neox.layers.${layer}`;
    // The fused projection has query, key and value of each head one behind the other.
    const part = (which: "query" | "key" | "value"): ModuleSource =>
      groupedSource(`${name}.attention.query_key_value`, which, { heads, kvHeads: heads, headDim });
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.input_layernorm`, n, { epsilon });
    if (config.isParallel) {
      p.layerNorm(x, `${name}.post_attention_layernorm`, m, { epsilon });
    }
    p.linear(n, `${name}.attention.query`, q, { bias, from: part("query") });
    p.linear(n, `${name}.attention.key`, k, { bias, from: part("key") });
    p.linear(n, `${name}.attention.value`, v, { bias, from: part("value") });
    p.op({ role: "rope", buffer: q, heads, headDim });
    p.op({ role: "rope", buffer: k, heads, headDim });
    p.op({ role: "append", key: k, value: v, layer });
    const scale = headDim ** -0.5;
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
    p.linear(attended, `${name}.attention.dense`, branch, { bias });
    p.op({ role: "add", input: branch, target: x });

    if (!config.isParallel) {
      p.layerNorm(x, `${name}.post_attention_layernorm`, m, { epsilon });
    }
    p.linear(m, `${name}.mlp.dense_h_to_4h`, inner, { bias: true });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.dense_4h_to_h`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "gpt_neox.final_layer_norm", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  p.op({ role: "logits", input: n, weight: isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize) });

  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, rotaryDim, maxPositions);
  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling },
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

export const gptNeoX = defineFamily({
  type: TYPE,
  architectures: ["GPTNeoXForCausalLM"],
  basePrefix: "gpt_neox.",
  tied: [TABLE, HEAD],
  published: [
    "EleutherAI/pythia-410m",
    "EleutherAI/pythia-70m",
    "EleutherAI/pythia-160m",
    "EleutherAI/pythia-1b",
    "EleutherAI/pythia-1.4b",
    "EleutherAI/pythia-2.8b",
    "EleutherAI/gpt-neox-20b",
  ],
  readConfig,
  buildProgram,
});
