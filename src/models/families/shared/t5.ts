/**
 * T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683) and its successors: an encoder–decoder with RMS norms before its
 * sublayers, scores that are not scaled, and biases of them by the distance of a key instead of positions.
 *
 * "encode" reads the source and leaves its keys and values for every layer of the decoder; "forward" is the decoder. The
 * configuration is that of transformers' models/t5/configuration_t5.py.
 */
import { z } from "zod";
import type { JsonObject } from "../../../base/json.ts";
import {
  ENCODE,
  FORWARD,
  type Activation,
  type Name,
  type Program,
  type ScoreBias,
} from "../../../runtime/program.ts";
import { kvLayers, sourceLayers } from "../../../runtime/state.ts";
import { readActivation } from "../../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../../config/base.ts";
import {
  count,
  epsilon as epsilonSchema,
  headSize,
  invalidConfig,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../../config/schema.ts";
import { ModuleBuilder } from "./module-builder.ts";
import { relativeBuckets } from "./relative-buckets.ts";

/** The embedding matrix, and the LM head. */
const [TABLE, HEAD] = ["shared.weight", "lm_head.weight"];
/** The embeddings of both halves and the LM head are one matrix, which a checkpoint may have under each of their names. */
export const T5_TIED = [TABLE, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", HEAD] as const;

/**
 * Positions that a context may have. The model knows distances only, which from some on are all one; "n_positions" in files is the
 * length of the texts that it was first trained with, and binds nobody.
 */
const MAX_POSITIONS = 8192;

/** What the families of this kind differ in. */
export interface T5Variant {
  /** Whether each layer has biases of its own, or the first one's are those of all. */
  readonly biases: "first" | "each";
  /** Whether logits have the factor d_model^-½ unless "tie_word_embeddings" is false; else they have none. */
  readonly scalesTied: boolean;
  /** Values of keys that a file leaves out. */
  readonly defaults: JsonObject;
}

/** A half of the model. */
type Stack = "encoder" | "decoder";

export interface T5Config extends BaseConfig {
  hiddenSize: number;
  encoderLayers: number;
  intermediateSize: number;
  heads: number;
  headDim: number;
  layerNormEps: number;
  activation: Activation;
  isGated: boolean;
  buckets: number;
  /** The distance from which all are one. */
  maxDistance: number;
  /** Factor of the logits. */
  logitsScale: number;
}

const schema = baseSchema.extend({
  d_model: size,
  d_kv: headSize,
  d_ff: size,
  num_layers: count,
  num_decoder_layers: count.nullish(),
  num_heads: count,
  relative_attention_num_buckets: z.int().min(4).max(4096).default(32),
  relative_attention_max_distance: positions.max(65_536).default(128),
  layer_norm_epsilon: epsilonSchema.default(1e-6),
  feed_forward_proj: z.string(),
  is_encoder_decoder: z.boolean().default(true),
  tie_word_embeddings: z.boolean().nullish(),
  scale_decoder_outputs: z.boolean().nullish(),
});
type Values = z.output<typeof schema>;

const ALIASES = {
  hidden_size: "d_model",
  num_attention_heads: "num_heads",
  num_hidden_layers: "num_layers",
  head_dim: "d_kv",
};

/**
 * Reads the configuration of a model of this kind.
 *
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what transformers has and this has not
 */
export function readT5(given: ConfigFile, { defaults, scalesTied }: T5Variant): T5Config {
  const file = withDefaults(withAliases(given, ALIASES), {
    pad_token_id: 0,
    eos_token_id: 1,
    decoder_start_token_id: 0,
    ...defaults,
  });
  const values = parseConfig(file, schema);
  if (!values.is_encoder_decoder) {
    throw unsupportedConfig(
      file,
      '"is_encoder_decoder" is false; a half of this family alone is not supported.',
      "Use a model with both halves.",
    );
  }
  const { relative_attention_num_buckets: buckets, relative_attention_max_distance: maxDistance } = values;
  // The encoder has a half of them for each direction, a half of which are of one distance each.
  if (buckets % 4 !== 0 || maxDistance <= buckets / 2) {
    throw invalidConfig(
      file,
      `"relative_attention_num_buckets" is ${buckets} and "relative_attention_max_distance" ${maxDistance}; expected a ` +
        "multiple of 4, and a distance larger than half of it.",
    );
  }
  const isUntied = values.tie_word_embeddings === false;
  // Files of transformers 5 say it by a key of its own; before, it hung on the other.
  const isScaled = scalesTied && (values.scale_decoder_outputs ?? !isUntied);
  return {
    ...readBase(file, values),
    hiddenSize: values.d_model,
    encoderLayers: values.num_layers,
    layers: values.num_decoder_layers ?? values.num_layers,
    intermediateSize: values.d_ff,
    heads: values.num_heads,
    headDim: values.d_kv,
    layerNormEps: values.layer_norm_epsilon,
    ...readFeedForward(file, values),
    buckets,
    maxDistance,
    logitsScale: isScaled ? values.d_model ** -0.5 : 1,
    isUntied,
    maxPositions: MAX_POSITIONS,
  };
}

/** The MLP: "relu", or "gated-gelu", where gelu has always been the one with tanh. */
function readFeedForward(
  file: ConfigFile,
  { feed_forward_proj: given }: Values,
): Pick<T5Config, "activation" | "isGated"> {
  const [first, ...rest] = given.split("-");
  if (rest.length > 1 || (rest.length === 1 && first !== "gated")) {
    throw invalidConfig(
      file,
      `"feed_forward_proj" is "${given}"; expected the name of an activation, or "gated-" and one.`,
    );
  }
  const name = given === "gated-gelu" ? "gelu_new" : (rest[0] ?? first);
  return { activation: readActivation(file, "feed_forward_proj", name), isGated: rest.length === 1 };
}

/**
 * The forward pass.
 *
 * @param family the Program's `family`
 * @param separate as for `FamilyDefinition.buildProgram`
 */
export function buildT5(
  family: string,
  { biases }: T5Variant,
  config: T5Config,
  separate: ReadonlySet<string>,
): Program {
  const { vocabSize, hiddenSize, layers, encoderLayers, heads, headDim, activation } = config;
  const p = new ModuleBuilder();

  const x = p.buffer("residual", hiddenSize);
  const n = p.buffer("normed", hiddenSize);
  const q = p.buffer("query", heads * headDim);
  const k = p.buffer("key", heads * headDim);
  const v = p.buffer("value", heads * headDim);
  const attended = p.buffer("attended", heads * headDim);
  const branch = p.buffer("branch", hiddenSize);
  const inner = p.buffer("inner", config.intermediateSize);
  const up = config.isGated ? p.buffer("up", config.intermediateSize) : "";

  // The cache holds the decoder's own layers, then the source's keys and values for each of them, then those of the
  // encoder's self-attention, which all its layers can share: nothing reads them after the layer.
  const crossLayer = (layer: number): number => layers + layer;
  const encoderLayer = 2 * layers;

  const bias = false;
  const norm = (name: string, trace?: string, scale = 1): void => {
    const gain = { scale, offset: 0 };
    p.norm(x, name, n, { kind: "rms", epsilon: config.layerNormEps, gain, trace });
  };
  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  const tiedTo = (name: Name): Name => (separate.has(name) ? p.matrix(name, vocabSize, hiddenSize) : table);

  const keysAndValues = (name: string, input: Name, layer: number): void => {
    p.linear(input, `${name}.k`, k, { bias });
    p.linear(input, `${name}.v`, v, { bias });
    p.op({ role: "append", key: k, value: v, layer });
  };
  const attention = (name: string, layer: number, over: "past" | "source", scoreBias?: ScoreBias): void => {
    p.linear(n, `${name}.q`, q, { bias });
    p.op({ role: "attention", over, query: q, layer, heads, scale: 1, bias: scoreBias, output: attended });
    p.linear(attended, `${name}.o`, branch, { bias });
    p.op({ role: "add", input: branch, target: x });
  };
  /**
   * The biases of a layer's self-attention. They are a vector of the layer, also where the numbers are the first layer's: what
   * layers share must lie in one memory with them.
   */
  const biasesOf = (stack: Stack, layer: number): ScoreBias => {
    const nameIn = (block: number): Name =>
      `${stack}.block.${block}.layer.0.SelfAttention.relative_attention_bias.weight`;
    const { buckets, maxDistance: reach } = config;
    const bucketOf = relativeBuckets({ buckets, maxDistance: reach, isBidirectional: stack === "encoder" });
    const indices = Array.from({ length: heads }, (_, head) =>
      bucketOf.map((bucket) => bucket * heads + head),
    ).flat();
    const source = { tensor: nameIn(biases === "each" ? layer : 0), rows: buckets };
    const name = p.vector(nameIn(layer), indices.length, { source, gather: { columns: heads, indices } });
    return { kind: "table", table: name, reach };
  };
  const selfAttention = (stack: Stack, block: number, layer: number, over: "past" | "source"): void => {
    const name = `${stack}.block.${block}.layer.0`;
    norm(`${name}.layer_norm`);
    keysAndValues(`${name}.SelfAttention`, n, layer);
    attention(`${name}.SelfAttention`, layer, over, biasesOf(stack, block));
  };
  const feedForward = (name: string, trace: string): void => {
    const dense = `${name}.DenseReluDense`;
    norm(`${name}.layer_norm`);
    if (config.isGated) {
      p.linear(n, `${dense}.wi_0`, inner, { bias });
      p.linear(n, `${dense}.wi_1`, up, { bias });
      p.op({ role: "gate", activation, gate: inner, up, output: inner });
    } else {
      p.linear(n, `${dense}.wi`, inner, { bias });
      p.op({ role: "activate", activation, input: inner, output: inner });
    }
    p.linear(inner, `${dense}.wo`, branch, { bias });
    p.op({ role: "add", input: branch, target: x, trace });
  };

  p.entry(ENCODE);
  p.group("The encoder's embedding table");
  p.op({
    role: "embed",
    table: tiedTo("encoder.embed_tokens.weight"),
    output: x,
    trace: "encoder.embeddings",
  });
  for (let block = 0; block < encoderLayers; block++) {
    p.group(`Encoder layer ${block}`);
    selfAttention("encoder", block, encoderLayer, "source");
    feedForward(`encoder.block.${block}.layer.1`, `encoder.layers.${block}`);
  }
  p.group("The encoder's final norm");
  norm("encoder.final_layer_norm", "encoder.final_norm");
  for (let layer = 0; layer < layers; layer++) {
    p.group(`The source for layer ${layer}`);
    keysAndValues(`decoder.block.${layer}.layer.1.EncDecAttention`, n, crossLayer(layer));
  }

  p.entry(FORWARD);
  p.group("The embedding table");
  p.op({ role: "embed", table: tiedTo("decoder.embed_tokens.weight"), output: x, trace: "embeddings" });
  for (let layer = 0; layer < layers; layer++) {
    const name = `decoder.block.${layer}`;
    p.group(`Layer ${layer}`);
    selfAttention("decoder", layer, layer, "past");
    norm(`${name}.layer.1.layer_norm`);
    attention(`${name}.layer.1.EncDecAttention`, crossLayer(layer), "source");
    feedForward(`${name}.layer.2`, `layers.${layer}`);
  }
  p.group("The language-model head");
  // What is a factor of the logits is in the gain of the norm before them.
  norm("decoder.final_layer_norm", "final_norm", config.logitsScale);
  p.op({ role: "logits", input: n, weight: tiedTo(HEAD) });

  const shape = { kvHeads: heads, headDim };
  return p.build({
    family,
    vocabSize,
    maxPositions: config.maxPositions,
    // The decoder's own states come first, then those of the encoder's input: one for its self-attention and one for each
    // layer of the decoder.
    state: [...kvLayers(layers, shape), ...sourceLayers(layers + 1, shape)],
  });
}
