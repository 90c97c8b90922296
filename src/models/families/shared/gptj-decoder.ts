/**
 * GPT-J's decoder (Wang & Komatsuzaki 2021, https://github.com/kingoflolz/mesh-transformer-jax), which CodeGen has too:
 * attention and MLP read one norm and are added to the residual side by side; the first channels of a head are rotated.
 *
 * Its rotation turns channels 2i and 2i + 1 together, the runtime's i and i + rotaryDim / 2. The rows of the query and
 * key projections are read in the order that makes one the other: dot products do not care how both are ordered.
 */
import { z } from "zod";
import type { Activation, Program } from "../../../runtime/program.ts";
import { kvLayers } from "../../../runtime/state.ts";
import { readActivation } from "../../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../../config/base.ts";
import { readHeadDim } from "../../config/heads.ts";
import {
  count,
  epsilon as epsilonSchema,
  invalidConfig,
  parseConfig,
  positions,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../../config/schema.ts";
import { ModuleBuilder, type ModuleSource } from "./module-builder.ts";
import { baseFrequencies } from "./rope-frequencies.ts";

/** The embedding matrix and the LM head, which may be one. */
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];
export const GPTJ_TIED = [TABLE, HEAD] as const;

/** The configuration of a decoder like GPT-J's. */
export interface GptJDecoderConfig extends BaseConfig {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  headDim: number;
  /** How many channels of a head, the first ones, are rotated: an even number. */
  rotaryDim: number;
  layerNormEps: number;
  activation: Activation;
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
  rotary_dim: size.default(64),
  activation_function: z.string().default("gelu_new"),
  layer_norm_epsilon: epsilonSchema.default(1e-5),
  tie_word_embeddings: z.boolean().default(false),
});

/**
 * The configuration of a decoder like GPT-J's from a config.json, with the defaults of transformers' classes.
 *
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the decoder does not do
 */
export function readGptJDecoder(given: ConfigFile): GptJDecoderConfig {
  const file = withDefaults(withAliases(given, ALIASES), { bos_token_id: 50_256, eos_token_id: 50_256 });
  const values = parseConfig(file, schema);
  const { n_head: heads, rotary_dim: rotaryDim } = values;
  const headDim = readHeadDim(file, ["n_embd", values.n_embd], ["n_head", heads]);
  if (rotaryDim % 2 !== 0 || rotaryDim > headDim) {
    throw invalidConfig(
      file,
      `"rotary_dim" is ${rotaryDim}; expected an even number of at most the head dimension, ${headDim}.`,
    );
  }
  return {
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

const THETA = 10_000;

/** The projections of attention. */
export type GptJProjection = "query" | "key" | "value";

/**
 * The forward pass of a decoder like GPT-J's.
 *
 * @param family the Program's `family`
 * @param separate as for `FamilyDefinition.buildProgram`
 * @param sourceOf where a projection lies, by the name of its attention; undefined: it is a module of its own, as it lies
 */
export function buildGptJDecoder(
  family: string,
  config: GptJDecoderConfig,
  separate: ReadonlySet<string>,
  sourceOf: (attention: string, projection: GptJProjection) => ModuleSource | undefined,
): Program {
  const { vocabSize, hiddenSize, intermediateSize, heads, headDim, rotaryDim, maxPositions } = config;
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

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  p.group("The embedding table");
  p.op({ role: "embed", table, output: x, trace: "embeddings" });

  for (let layer = 0; layer < config.layers; layer++) {
    const name = `transformer.h.${layer}`;
    p.group(`Layer ${layer}`);

    p.layerNorm(x, `${name}.ln_1`, n, { epsilon });
    p.linear(n, `${name}.attn.q_proj`, q, { bias: false, from: sourceOf(`${name}.attn`, "query") });
    p.linear(n, `${name}.attn.k_proj`, k, { bias: false, from: sourceOf(`${name}.attn`, "key") });
    p.linear(n, `${name}.attn.v_proj`, v, { bias: false, from: sourceOf(`${name}.attn`, "value") });
    p.op({ role: "rope", buffer: q, heads, headDim });
    p.op({ role: "rope", buffer: k, heads, headDim });
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
    p.linear(attended, `${name}.attn.out_proj`, branch, { bias: false });
    p.op({ role: "add", input: branch, target: x });

    // The MLP reads the same norm, not the sum.
    p.linear(n, `${name}.mlp.fc_in`, inner, { bias: true });
    p.op({ role: "activate", activation: config.activation, input: inner, output: inner });
    p.linear(inner, `${name}.mlp.fc_out`, branch, { bias: true });
    p.op({ role: "add", input: branch, target: x, trace: `layers.${layer}` });
  }

  p.group("The language-model head");
  p.layerNorm(x, "transformer.ln_f", n, { epsilon, trace: "final_norm" });
  const isTied = config.tieWordEmbeddings && !separate.has(HEAD);
  const head = isTied ? table : p.matrix(HEAD, vocabSize, hiddenSize);
  p.op({ role: "logits", input: n, weight: head, bias: p.vector("lm_head.bias", vocabSize) });

  const inverseFrequencies = Float32Array.from(baseFrequencies(THETA, rotaryDim));
  return p.build({
    family,
    vocabSize,
    maxPositions,
    rope: { inverseFrequencies, scaling: 1 },
    state: kvLayers(config.layers, { kvHeads: heads, headDim }),
  });
}
