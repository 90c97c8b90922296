/**
 * BLOOM (BigScience 2022, https://arxiv.org/abs/2211.05100): layer norms, one also behind the embeddings, no positions but biases of
 * the scores that grow with distance (ALiBi). Its configuration is transformers' models/bloom/configuration_bloom.py, whose
 * defaults these are.
 */
import { z } from "zod";
import type { Name, Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
import { baseSchema, readBase, type BaseConfig } from "../config/base.ts";
import { readHeadDim } from "../config/heads.ts";
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
import { alibiSlopes } from "./shared/alibi.ts";
import { groupedSource } from "./shared/grouped-projection.ts";
import { ModuleBuilder } from "./shared/module-builder.ts";

const TYPE = "bloom";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.word_embeddings.weight", "lm_head.weight"];

interface BloomConfig extends BaseConfig {
  hiddenSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  /** Whether what a sublayer gives is added to its norm's output instead of that one's input. */
  addsToNormed: boolean;
  tieWordEmbeddings: boolean;
}

const ALIASES = { n_embed: "hidden_size", num_hidden_layers: "n_layer", num_attention_heads: "n_head" };

const schema = baseSchema.extend({
  hidden_size: size,
  n_layer: count,
  n_head: count,
  // The class has no bound; files say how long the texts were that the model was trained with.
  seq_length: positions.nullish(),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  apply_residual_connection_post_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(given: ConfigFile): BloomConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 1, eos_token_id: 2 });
  const values = parseConfig(file, schema);
  const { hidden_size: hiddenSize, n_head: heads } = values;
  return {
    ...readBase(file, values),
    hiddenSize,
    layers: values.n_layer,
    heads,
    headDim: readHeadDim(file, ["hidden_size", hiddenSize], ["n_head", heads]),
    layerNormEps: values.layer_norm_epsilon,
    addsToNormed: values.apply_residual_connection_post_layernorm,
    maxPositions: values.seq_length ?? 2048,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

function buildProgram(config: BloomConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, headDim, maxPositions } = config;
  const p = new ModuleBuilder();

  // Where the norm is the residual, the two take turns.
  let [x, n] = [p.buffer("residual", hiddenSize), p.buffer("normed", hiddenSize)];
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", 4 * hiddenSize);
  const branch = p.buffer("branch", hiddenSize);

  const epsilon = config.layerNormEps;
  const bias = true;
  const addBranch = (input: Name, name: string, trace?: string): void => {
    p.linear(input, name, branch, { bias });
    if (config.addsToNormed) {
      [x, n] = [n, x];
    }
    p.op({ role: "add", input: branch, target: x, trace });
  };

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: n });
  p.layerNorm(n, "transformer.word_embeddings_layernorm", x, { epsilon, trace: "embeddings" });

  const slopes = alibiSlopes(heads);
  const groups = { heads, kvHeads: heads, headDim };
  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    const fused = `${name}.self_attention.query_key_value`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.input_layernorm`, n, { epsilon });
    p.linear(n, `${name}.self_attention.query`, q, { bias, from: groupedSource(fused, "query", groups) });
    p.linear(n, `${name}.self_attention.key`, k, { bias, from: groupedSource(fused, "key", groups) });
    p.linear(n, `${name}.self_attention.value`, v, { bias, from: groupedSource(fused, "value", groups) });
    p.op({ role: "append", key: k, value: v, layer });
    p.op({
      role: "attention",
      over: "past",
      query: q,
      layer,
      heads,
      scale: headDim ** -0.5,
      bias: { kind: "linear", slopes },
      output: attended,
    });
    addBranch(attended, `${name}.self_attention.dense`);

    p.layerNorm(x, `${name}.post_attention_layernorm`, n, { epsilon });
    p.linear(n, `${name}.mlp.dense_h_to_4h`, inner, { bias });
    p.op({ role: "activate", activation: "gelu_tanh", input: inner, output: inner });
    addBranch(inner, `${name}.mlp.dense_4h_to_h`, `layers.${layer}`);
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  p.op({ role: "logits", input: n, weight: isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize) });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

export const bloom = defineFamily({
  type: TYPE,
  architectures: ["BloomForCausalLM"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  published: [
    "bigscience/bloomz-560m",
    "bigscience/bloom-560m",
    "bigscience/bloomz-1b7",
    "bigscience/bloom-1b7",
    "bigscience/bloomz-7b1",
    "bigscience/bloom-7b1",
  ],
  readConfig,
  buildProgram,
});
