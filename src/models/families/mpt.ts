/**
 * MPT (MosaicML 2023, https://www.databricks.com/blog/mpt-7b): layer norms without biases, biases of the scores that grow with
 * distance (ALiBi). Its configuration is transformers' models/mpt/configuration_mpt.py, whose defaults these are.
 */
import { z } from "zod";
import type { Program } from "../../runtime/program.ts";
import { kvLayers } from "../../runtime/state.ts";
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
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { mptSlopes } from "./shared/alibi.ts";
import { ModuleBuilder, type ModuleSource } from "./shared/module-builder.ts";

const TYPE = "mpt";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];

interface MptConfig extends BaseConfig {
  hiddenSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  /** Factor of the scores. */
  scale: number;
  /** The exponent of the least slope. */
  biasMax: number;
  tieWordEmbeddings: boolean;
}

const ALIASES = { hidden_size: "d_model", num_attention_heads: "n_heads", num_hidden_layers: "n_layers" };

const attention = z.object({
  attn_type: z.string().default("multihead_attention"),
  alibi: z.boolean().default(true),
  alibi_bias_max: z.number().positive().max(64).default(8),
  clip_qkv: z.number().nullish(),
  softmax_scale: z.number().nullish(),
  prefix_lm: z.boolean().default(false),
  qk_ln: z.boolean().default(false),
});

const schema = baseSchema.extend({
  d_model: size,
  n_heads: count,
  n_layers: count,
  expansion_ratio: z.number().default(4),
  max_seq_len: positions.default(2048),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  attn_config: attention.nullish().transform((given) => given ?? attention.parse({})),
  logit_scale: z.union([z.number(), z.string()]).nullish(),
  no_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});
type Values = z.output<typeof schema>;

function readConfig(given: ConfigFile): MptConfig {
  const file = withAliases(given, ALIASES);
  const values = parseConfig(file, schema);
  refuseUnsupported(file, values);
  const { d_model: hiddenSize, n_heads: heads, attn_config: attn } = values;
  const headDim = readHeadDim(file, ["d_model", hiddenSize], ["n_heads", heads]);
  return {
    ...readBase(file, values),
    hiddenSize,
    layers: values.n_layers,
    heads,
    headDim,
    layerNormEps: values.layer_norm_epsilon,
    scale: attn.softmax_scale ?? headDim ** -0.5,
    biasMax: attn.alibi_bias_max,
    maxPositions: values.max_seq_len,
    tieWordEmbeddings: values.tie_word_embeddings,
  };
}

/** Refuses what the model's own code does and transformers' class passes over: it would write another text. */
function refuseUnsupported(file: ConfigFile, { attn_config: attn, ...values }: Values): void {
  const expected: readonly [key: string, found: unknown, supported: string, isSupported: boolean][] = [
    [
      "attn_config.attn_type",
      attn.attn_type,
      "multihead_attention",
      attn.attn_type === "multihead_attention",
    ],
    ["attn_config.alibi", attn.alibi, "true", attn.alibi],
    ["attn_config.prefix_lm", attn.prefix_lm, "false", !attn.prefix_lm],
    ["attn_config.qk_ln", attn.qk_ln, "false", !attn.qk_ln],
    ["attn_config.clip_qkv", attn.clip_qkv, "null", (attn.clip_qkv ?? 0) === 0],
    ["expansion_ratio", values.expansion_ratio, "4", values.expansion_ratio === 4],
    ["logit_scale", values.logit_scale, "null", (values.logit_scale ?? 1) === 1],
    ["no_bias", values.no_bias, "true", values.no_bias],
  ];
  for (const [key, found, supported, isSupported] of expected) {
    if (!isSupported) {
      throw unsupportedConfig(
        file,
        `"${key}" is ${JSON.stringify(found)}; supported is ${supported}.`,
        "Use another model of this family.",
      );
    }
  }
}

function buildProgram(config: MptConfig, separate: ReadonlySet<string>): Program {
  const { vocabSize, hiddenSize, heads, headDim, maxPositions, scale } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const inner = p.buffer("inner", 4 * hiddenSize);
  const branch = p.buffer("branch", hiddenSize);

  const bias = false;
  const norm = { kind: "layer", epsilon: config.layerNormEps } as const;
  const part = (module: string, index: number): ModuleSource => ({
    module,
    rows: 3 * hiddenSize,
    ranges: [{ start: index * hiddenSize, end: (index + 1) * hiddenSize }],
  });

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  const slopes = mptSlopes(heads, config.biasMax);
  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.blocks.${layer}`;
    const fused = `${name}.attn.Wqkv`;
    p.group(`Layer ${layer}`);

    p.norm(x, `${name}.norm_1`, n, norm);
    p.linear(n, `${name}.attn.query`, q, { bias, from: part(fused, 0) });
    p.linear(n, `${name}.attn.key`, k, { bias, from: part(fused, 1) });
    p.linear(n, `${name}.attn.value`, v, { bias, from: part(fused, 2) });
    p.op({ role: "append", key: k, value: v, layer });
    p.op({
      role: "attention",
      over: "past",
      query: q,
      layer,
      heads,
      scale,
      bias: { kind: "linear", slopes },
      output: attended,
    });
    p.linear(attended, `${name}.attn.out_proj`, branch, { bias });
    p.op({ role: "add", input: branch, target: x });

    p.norm(x, `${name}.norm_2`, n, norm);
    p.linear(n, `${name}.ffn.up_proj`, inner, { bias });
    p.op({ role: "activate", activation: "gelu", input: inner, output: inner });
    p.linear(inner, `${name}.ffn.down_proj`, branch, { bias });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.norm(x, "transformer.norm_f", n, { ...norm, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  p.op({ role: "logits", input: n, weight: isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize) });

  return p.build({
    family: TYPE,
    vocabSize,
    maxPositions,
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}

export const mpt = defineFamily({
  type: TYPE,
  architectures: ["MptForCausalLM", "MPTForCausalLM"],
  basePrefix: "transformer.",
  tied: [TABLE, HEAD],
  published: [
    "mosaicml/mpt-7b-instruct",
    "mosaicml/mpt-7b-chat",
    "mosaicml/mpt-7b",
    "mosaicml/mpt-30b-instruct",
  ],
  readConfig,
  buildProgram,
});
