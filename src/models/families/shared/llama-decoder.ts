/**
 * Llama's decoder (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): pre-norm with RMSNorm (Zhang & Sennrich
 * 2019), rotary positions, grouped-query attention (Ainslie et al. 2023) and SwiGLU. Other families differ by a line or
 * two of their configuration (transformers: models/llama/configuration_llama.py and those copied from it).
 */
import { z } from "zod";
import type { Program } from "../../../runtime/program.ts";
import { kvLayers } from "../../../runtime/state.ts";
import { baseSchema, readBase, type BaseConfig } from "../../config/base.ts";
import { readHeadDim } from "../../config/head-dim.ts";
import { readRopeParameters, type RopeParameters } from "../../config/rope-parameters.ts";
import {
  count,
  headSize,
  invalidConfig,
  positions,
  size,
  unsupportedConfig,
  type ConfigFile,
  epsilon as epsilonSchema,
} from "../../config/schema.ts";
import { ModuleBuilder } from "./module-builder.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["model.embed_tokens.weight", "lm_head.weight"];
export const LLAMA_TIED = [TABLE, HEAD] as const;

/** The configuration of a decoder like Llama's. */
export interface LlamaDecoderConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  /** Number of query heads. */
  heads: number;
  /** Number of key heads and of value heads; it divides `heads`. */
  kvHeads: number;
  headDim: number;
  rmsNormEps: number;
  rope: RopeParameters;
  /** Whether a layer rotates queries and keys, one a layer: false for those without positional encoding (NoPE). */
  usesRope: boolean[];
  /** Whether the LM head is the embedding matrix. */
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  mlpBias: boolean;
}

/** The keys of config.json. Those that transformers writes into every file are required: a default would hide damage. */
export const llamaDecoderSchema = baseSchema.extend({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: headSize.nullish(),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: epsilonSchema.default(1e-6),
  max_position_embeddings: positions,
  tie_word_embeddings: z.boolean(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/**
 * The configuration of a decoder like Llama's from the values of its config.json.
 *
 * @param options.usesRope whether each layer rotates queries and keys: false for layers without positional encoding
 * @param options.defaultTheta the base of RoPE where the file has none
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the decoder does not do
 */
export function readLlamaDecoder(
  file: ConfigFile,
  values: z.output<typeof llamaDecoderSchema>,
  { usesRope, defaultTheta }: { usesRope: boolean[]; defaultTheta: number },
): LlamaDecoderConfig {
  if (values.hidden_act !== "silu" && values.hidden_act !== "swish") {
    throw unsupportedConfig(
      file,
      `"hidden_act" is "${values.hidden_act}"; supported is "silu".`,
      "Use a model with SwiGLU activations.",
    );
  }
  const heads = values.num_attention_heads;
  const kvHeads = values.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw invalidConfig(
      file,
      `"num_attention_heads" is ${heads}; expected a multiple of "num_key_value_heads", ${kvHeads}.`,
    );
  }
  const headDim =
    values.head_dim ??
    readHeadDim(
      file,
      ["hidden_size", values.hidden_size],
      ["num_attention_heads", values.num_attention_heads],
      ', or a "head_dim"',
    );
  if (headDim % 2 !== 0 && usesRope.includes(true)) {
    throw invalidConfig(
      file,
      `the head dimension is ${headDim}; RoPE turns pairs of channels: expected an even number.`,
    );
  }
  return {
    ...readBase(file, values),
    hiddenSize: values.hidden_size,
    intermediateSize: values.intermediate_size,
    layers: values.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    rmsNormEps: values.rms_norm_eps,
    maxPositions: values.max_position_embeddings,
    rope: readRopeParameters(file, defaultTheta),
    usesRope,
    tieWordEmbeddings: values.tie_word_embeddings,
    attentionBias: values.attention_bias,
    mlpBias: values.mlp_bias,
  };
}

/**
 * The forward pass of a decoder like Llama's.
 *
 * @param family the Program's `family`
 * @param separate as for `FamilyDefinition.buildProgram`
 */
export function buildLlamaDecoder(
  family: string,
  config: LlamaDecoderConfig,
  separate: ReadonlySet<string>,
): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim, maxPositions } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", kvHeads * headDim);
  const v = p.buffer("value", kvHeads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const gate = p.buffer("gate", intermediateSize);
  const up = p.buffer("up", intermediateSize);
  const branch = p.buffer("branch", hiddenSize);

  const attention = { bias: config.attentionBias };
  const mlp = { bias: config.mlpBias };
  const epsilon = config.rmsNormEps;

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `model.layers.${layer}`;
    p.group(`Layer ${layer}`);

    p.rmsNorm(x, `${name}.input_layernorm`, n, { epsilon });
    p.linear(n, `${name}.self_attn.q_proj`, q, attention);
    p.linear(n, `${name}.self_attn.k_proj`, k, attention);
    p.linear(n, `${name}.self_attn.v_proj`, v, attention);
    if (config.usesRope[layer]) {
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
      scale: headDim ** -0.5,
      output: attended,
    });
    p.linear(attended, `${name}.self_attn.o_proj`, branch, attention);
    p.op({ role: "add", input: branch, target: x });

    p.rmsNorm(x, `${name}.post_attention_layernorm`, n, { epsilon });
    p.linear(n, `${name}.mlp.gate_proj`, gate, mlp);
    p.linear(n, `${name}.mlp.up_proj`, up, mlp);
    p.op({ role: "gate", activation: "silu", gate, up, output: gate });
    p.linear(gate, `${name}.mlp.down_proj`, branch, mlp);
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.rmsNorm(x, "model.norm", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head });

  const { inverseFrequencies, attentionScaling } = ropeFrequencies(config.rope, headDim, maxPositions);
  return p.build({
    family,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies: Float32Array.from(inverseFrequencies), scaling: attentionScaling },
    state: kvLayers(config.layers, { kvHeads, headDim }),
  });
}
