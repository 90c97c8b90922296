/**
 * Falcon (Almazrouei et al. 2023, https://arxiv.org/abs/2311.16867): attention and MLP side by side, rotary positions, layer
 * norms; queries share one key head (Falcon 7B) or some ("new decoder architecture": 40B, 180B, Falcon 2). Falcon RW has biases of
 * the scores that grow with distance (ALiBi) instead of rotations. Its configuration is transformers'
 * models/falcon/configuration_falcon.py, whose defaults these are.
 */
import { z } from "zod";
import type { Activation, Program, RopeTable, ScoreBias } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { readActivation } from "../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
import { readRopeParameters, readRotaryDim, type RopeParameters } from "../config/rope-parameters.ts";
import {
  count,
  epsilon as epsilonSchema,
  invalidConfig,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { alibiSlopes } from "./shared/alibi.ts";
import { groupedSource } from "./shared/grouped-projection.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";
import { ropeFrequencies } from "./shared/rope-frequencies.ts";

const TYPE = "falcon";
const THETA = 10_000;

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.word_embeddings.weight", "lm_head.weight"];

/** Which norms a layer has: one that both sublayers read, one for each side by side, or one for each in turn. */
type Norms = "one" | "two" | "sequential";

interface FalconConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Undefined where scores have ALiBi. */
  rope?: RopeParameters;
  layerNormEps: number;
  activation: Activation;
  norms: Norms;
  hasBias: boolean;
  tieWordEmbeddings: boolean;
}

const schema = baseSchema.extend({
  hidden_size: size,
  ffn_hidden_size: size.nullish(),
  num_hidden_layers: count,
  num_attention_heads: count,
  num_kv_heads: count.nullish(),
  max_position_embeddings: positions,
  activation: z.string().default("gelu"),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  alibi: z.boolean().nullish(),
  new_decoder_architecture: z.boolean().nullish(),
  multi_query: z.boolean().nullable().default(true),
  parallel_attn: z.boolean().nullable().default(true),
  num_ln_in_parallel_attn: z.int().nullish(),
  bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().default(true),
});
type Values = z.output<typeof schema>;

function readConfig(given: ConfigFile): FalconConfig {
  const file = withDefaults(withAliases(given, { n_embed: "hidden_size" }), {
    bos_token_id: 11,
    eos_token_id: 11,
    max_position_embeddings: 2048,
  });
  const values = parseConfig(file, schema);
  const { hidden_size: hiddenSize, num_attention_heads: heads } = values;
  const headDim = readHeadDim(file, ["hidden_size", hiddenSize], ["num_attention_heads", heads]);
  const isRotary = values.alibi !== true;
  if (isRotary) {
    readRotaryDim(file, headDim); // Whole heads are rotated, which takes an even number of channels.
  }
  return {
    ...readBase(file, values),
    hiddenSize,
    intermediateSize: values.ffn_hidden_size ?? 4 * hiddenSize,
    layers: values.num_hidden_layers,
    heads,
    kvHeads: readKeyHeads(file, values),
    headDim,
    rope: isRotary ? readRopeParameters(file, THETA) : undefined,
    layerNormEps: values.layer_norm_epsilon,
    activation: readActivation(file, "activation", values.activation),
    norms: readNorms(file, values),
    hasBias: values.bias === true,
    maxPositions: values.max_position_embeddings,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

/** The number of key heads: "num_kv_heads" has an effect in the new architecture alone. */
function readKeyHeads(file: ConfigFile, values: Values): number {
  const { num_attention_heads: heads, num_kv_heads: given, new_decoder_architecture: isNew } = values;
  if (isNew !== true && values.multi_query === true) {
    return 1;
  }
  const kvHeads = given ?? heads;
  if (isNew !== true && kvHeads !== heads) {
    throw invalidConfig(
      file,
      `"num_kv_heads" is ${kvHeads} where "multi_query" is not true; expected "num_attention_heads", ${heads}.`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw invalidConfig(
      file,
      `"num_attention_heads" is ${heads}; expected a multiple of "num_kv_heads", ${kvHeads}.`,
    );
  }
  return kvHeads;
}

/** The norms of a layer, as far as transformers' class runs what the file says. */
function readNorms(file: ConfigFile, values: Values): Norms {
  const { new_decoder_architecture: isNew, parallel_attn: isParallel } = values;
  const key = "num_ln_in_parallel_attn";
  const norms = values[key] ?? (isNew === true ? 2 : 1);
  if (isNew === true && isParallel !== true) {
    throw unsupportedConfig(
      file,
      '"parallel_attn" is not true in the new decoder architecture; attention and MLP in turn are not supported there.',
      'Use a model whose "parallel_attn" is true.',
    );
  }
  if (isParallel !== true) {
    return "sequential";
  }
  const most = isNew === true ? 2 : 1;
  if (norms < 1 || norms > most) {
    throw unsupportedConfig(
      file,
      `"${key}" is ${norms}; supported is ${most === 2 ? "1 or 2" : '1, where "new_decoder_architecture" is not true'}.`,
      "Use a model with as many norms.",
    );
  }
  return norms === 2 ? "two" : "one";
}

function buildProgram(config: FalconConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, kvHeads, headDim, maxPositions, norms, rope } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("attention.normed", hiddenSize);
  const m = norms === "one" ? n : p.buffer("mlp.normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", config.intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;
  const bias = config.hasBias;
  const scale = headDim ** -0.5;
  const scoreBias: ScoreBias | undefined =
    rope === undefined ? { kind: "rounded", slopes: alibiSlopes(heads), scale } : undefined;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    const fused = `${name}.self_attention.query_key_value`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.${norms === "two" ? "ln_attn" : "input_layernorm"}`, n, { epsilon });
    if (norms === "two") {
      p.layerNorm(x, `${name}.ln_mlp`, m, { epsilon });
    }
    p.linear(n, `${name}.self_attention.query`, q, { bias, from: groupedSource(fused, "query", config) });
    p.linear(n, `${name}.self_attention.key`, k, { bias, from: groupedSource(fused, "key", config) });
    p.linear(n, `${name}.self_attention.value`, v, { bias, from: groupedSource(fused, "value", config) });
    if (rope !== undefined) {
      p.op({ role: "rope", buffer: q, heads, headDim });
      p.op({ role: "rope", buffer: k, heads: kvHeads, headDim });
    }
    p.op({ role: "append", key: k, value: v, layer });
    p.op({
      role: "attention",
      over: "past",
      query: q,
      layer,
      heads,
      scale,
      bias: scoreBias,
      output: attended,
    });
    p.linear(attended, `${name}.self_attention.dense`, branch, { bias });
    p.op({ role: "add", input: branch, target: x });

    if (norms === "sequential") {
      p.layerNorm(x, `${name}.post_attention_layernorm`, m, { epsilon });
    }
    p.linear(m, `${name}.mlp.dense_h_to_4h`, inner, { bias });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.dense_4h_to_h`, branch, { bias });
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
    rope: rope === undefined ? undefined : rotation(rope, config),
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}

function rotation(rope: RopeParameters, { headDim, maxPositions }: FalconConfig): RopeTable {
  const { inverseFrequencies, attentionScaling } = ropeFrequencies(rope, headDim, maxPositions);
  return { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling };
}

export const falcon = defineFamily({
  type: TYPE,
  architectures: ["FalconForCausalLM"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  published: [
    "tiiuae/falcon-7b-instruct",
    "tiiuae/falcon-7b",
    "tiiuae/falcon-11B",
    "tiiuae/falcon-40b-instruct",
    "tiiuae/falcon-40b",
    "tiiuae/falcon-rw-1b",
    "tiiuae/falcon-rw-7b",
  ],
  readConfig,
  buildProgram,
});
