/**
 * Phi-1, Phi-1.5 and Phi-2 (Li et al. 2023, https://arxiv.org/abs/2309.05463): attention and MLP read one norm and are
 * added to the residual side by side; everything has a bias; the first channels of a head are rotated. Its configuration
 * is transformers' models/phi/configuration_phi.py, whose defaults these are.
 */
import { z } from "zod";
import type { Activation, Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim, readKvHeads } from "../config/heads.ts";
import { readRopeParameters, readRotaryDim, type RopeParameters } from "../config/rope-parameters.ts";
import {
  count,
  epsilon as epsilonSchema,
  headSize,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";
import { ropeFrequencies } from "./shared/rope-frequencies.ts";

const TYPE = "phi";
const THETA = 10_000;

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["model.embed_tokens.weight", "lm_head.weight"];

interface PhiConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** How many channels of a head, the first ones, are rotated. */
  rotaryDim: number;
  rope: RopeParameters;
  layerNormEps: number;
  activation: Activation;
  tieWordEmbeddings: boolean;
}

const schema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: headSize.optional(),
  max_position_embeddings: positions,
  hidden_act: z.string().default("gelu_new"),
  layer_norm_eps: epsilonSchema.default(1e-5),
  qk_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
});

function readConfig(given: ConfigFile): PhiConfig {
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    max_position_embeddings: 2048,
    partial_rotary_factor: 0.5,
  });
  const values = parseConfig(file, schema);
  if (values.qk_layernorm) {
    throw unsupportedConfig(
      file,
      '"qk_layernorm" is true; layer norms of queries and keys are not supported.',
      "Use a model without them, as the published ones are.",
    );
  }
  const { num_attention_heads: heads, hidden_size: hiddenSize } = values;
  const kvHeads = readKvHeads(file, values);
  const headDim =
    values.head_dim ?? readHeadDim(file, ["hidden_size", hiddenSize], ["num_attention_heads", heads]);
  return {
    ...readBase(file, values),
    hiddenSize,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rotaryDim: readRotaryDim(file, headDim),
    rope: readRopeParameters(file, THETA, { isPartial: true }),
    layerNormEps: values.layer_norm_eps,
    activation: readActivation(file, "hidden_act", values.hidden_act),
    maxPositions: values.max_position_embeddings,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function buildProgram(config: PhiConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, kvHeads, headDim, rotaryDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const inner = p.buffer("inner", config.intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.input_layernorm`, n, { epsilon });
    p.linear(n, `${name}.self_attn.q_proj`, q, { bias: true });
    p.linear(n, `${name}.self_attn.k_proj`, k, { bias: true });
    p.linear(n, `${name}.self_attn.v_proj`, v, { bias: true });
    p.op({ role: "rope", buffer: q, heads, headDim });
    p.op({ role: "rope", buffer: k, heads: kvHeads, headDim });
    p.op({ role: "append", key: k, value: v, layer });
    const scale = headDim ** -0.5;
    p.op({ role: "attention", over: "past", query: q, layer, heads, scale, output: attended });
    p.linear(attended, `${name}.self_attn.dense`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x });

    // The MLP reads the same norm, not the sum.
    p.linear(n, `${name}.mlp.fc1`, inner, { bias: true });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.fc2`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "model.final_layernorm", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head, bias: p.vector("lm_head.bias", vocabSize) });

  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, rotaryDim, maxPositions);
  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling },
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}

export const phi = defineFamily({
  type: TYPE,
  architectures: ["PhiForCausalLM"],
  basePrefix: "model.",
  tied: [TABLE, HEAD],
  published: ["microsoft/phi-2", "microsoft/phi-1_5", "microsoft/phi-1"],
  readConfig,
  buildProgram,
});
