/**
 * The Transformer with an encoder and a decoder (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), as BART (Lewis
 * et al. 2020, https://arxiv.org/abs/1910.13461) and Blenderbot (Roller et al. 2021, https://arxiv.org/abs/2004.13637)
 * have it: learned positions, GELU, one embedding matrix for both halves and for the logits.
 *
 * "encode" reads the source and leaves its keys and values for every layer of the decoder; "forward" is the decoder.
 */
import { ENCODE, FORWARD, type Name, type Program } from "../../../runtime/program.ts";
import { kvLayers, sourceLayers } from "../../../runtime/state.ts";
import type { EncoderDecoderConfig } from "./encoder-decoder-config.ts";
import { ModuleBuilder } from "./module-builder.ts";

/** The embedding matrix, and the LM head. */
const [TABLE, HEAD] = ["model.shared.weight", "lm_head.weight"];
/** The embeddings of both halves and the LM head are one matrix, which a checkpoint may have under each of their names. */
export const ENCODER_DECODER_TIED = [
  TABLE,
  "model.encoder.embed_tokens.weight",
  "model.decoder.embed_tokens.weight",
  HEAD,
] as const;

/** A half of the model. */
type Stack = "encoder" | "decoder";

/** What the families of encoder–decoders differ in. */
export interface EncoderDecoderVariant {
  /** Where the norm of a sublayer f is: x + f(norm(x)), or norm(x + f(x)). */
  readonly norm: "before" | "after";
  /** Whether the norm of the embeddings comes before or after the positions are added. Absent: they have none. */
  readonly embeddingNorm?: Readonly<Record<Stack, "before-positions" | "after-positions">>;
  /** The halves whose embeddings are scaled, where the configuration has a scale. */
  readonly scaled: readonly Stack[];
  /** Whether a norm comes after the last layer. */
  readonly hasFinalNorm: boolean;
  /** Number of rows of the table of positions before position 0. */
  readonly positionOffset: number;
}

/** The epsilon of every LayerNorm: PyTorch's default, which the configuration does not name. */
const EPSILON = 1e-5;

/**
 * The forward pass of an encoder–decoder.
 *
 * @param family the Program's `family`
 * @param separate as for `FamilyDefinition.buildProgram`
 */
export function buildEncoderDecoder(
  family: string,
  variant: EncoderDecoderVariant,
  config: EncoderDecoderConfig,
  separate: ReadonlySet<string>,
): Program {
  const { vocabSize, hiddenSize, layers, encoderLayers, heads, headDim, maxPositions, activation } = config;
  const p = new ModuleBuilder();

  const q = p.buffer("query", hiddenSize);
  const k = p.buffer("key", hiddenSize);
  const v = p.buffer("value", hiddenSize);
  const attended = p.buffer("attended", hiddenSize);
  const branch = p.buffer("branch", hiddenSize);
  const inner: Readonly<Record<Stack, Name>> = {
    encoder: p.buffer("encoder.inner", config.encoderIntermediateSize),
    decoder: p.buffer("inner", config.intermediateSize),
  };
  // x is the residual. A norm after a sublayer writes the next one, so the two take turns.
  let [x, y] = [p.buffer("residual", hiddenSize), p.buffer("normed", hiddenSize)];

  // The cache holds the decoder's own layers, then the source's keys and values for each of them, then those of the
  // encoder's self-attention, which all its layers can share: nothing reads them after the layer.
  const crossLayer = (layer: number): number => layers + layer;
  const encoderLayer = 2 * layers;

  const norm = (name: string, trace?: string): void => {
    p.layerNorm(x, name, y, { epsilon: EPSILON, trace });
  };
  const normResidual = (name: string, trace?: string): void => {
    norm(name, trace);
    [x, y] = [y, x];
  };
  const sublayer = (name: string, branchOf: (input: Name) => void, trace?: string): void => {
    if (variant.norm === "before") {
      norm(name);
      branchOf(y);
      p.op({ role: "add", input: branch, target: x, trace });
    } else {
      branchOf(x);
      p.op({ role: "add", input: branch, target: x });
      normResidual(name, trace);
    }
  };

  const keysAndValues = (name: string, input: Name, layer: number): void => {
    p.linear(input, `${name}.k_proj`, k, { bias: true });
    p.linear(input, `${name}.v_proj`, v, { bias: true });
    p.op({ role: "append", key: k, value: v, layer });
  };
  const attention = (name: string, input: Name, layer: number, over: "past" | "source"): void => {
    p.linear(input, `${name}.q_proj`, q, { bias: true });
    p.op({ role: "attention", over, query: q, layer, heads, scale: headDim ** -0.5, output: attended });
    p.linear(attended, `${name}.out_proj`, branch, { bias: true });
  };
  const selfAttention = (name: string, layer: number, over: "past" | "source"): void => {
    sublayer(`${name}.self_attn_layer_norm`, (input) => {
      keysAndValues(`${name}.self_attn`, input, layer);
      attention(`${name}.self_attn`, input, layer, over);
    });
  };
  const feedForward = (name: string, stack: Stack, trace: string): void => {
    const hidden = inner[stack];
    const branchOf = (input: Name): void => {
      p.linear(input, `${name}.fc1`, hidden, { bias: true });
      p.op({ role: "activate", activation, input: hidden, output: hidden });
      p.linear(hidden, `${name}.fc2`, branch, { bias: true });
    };
    sublayer(`${name}.final_layer_norm`, branchOf, trace);
  };

  const table = p.matrix(TABLE, vocabSize, hiddenSize);
  const tiedTo = (name: Name): Name => (separate.has(name) ? p.matrix(name, vocabSize, hiddenSize) : table);
  const embeddings = (stack: Stack, trace: string): void => {
    const { embeddingNorm, positionOffset: offset } = variant;
    const name = `model.${stack}`;
    const positions = p.matrix(`${name}.embed_positions.weight`, maxPositions + offset, hiddenSize);
    const order = embeddingNorm?.[stack];
    const scale = variant.scaled.includes(stack) ? config.embeddingScale : 1;
    p.op({ role: "embed", table: tiedTo(`${name}.embed_tokens.weight`), scale, output: x });
    if (order === "before-positions") {
      normResidual(`${name}.layernorm_embedding`);
    }
    const isLast = order !== "after-positions";
    p.op({ role: "positions", table: positions, offset, target: x, trace: isLast ? trace : undefined });
    if (!isLast) {
      normResidual(`${name}.layernorm_embedding`, trace);
    }
  };

  p.entry(ENCODE);
  p.group("The encoder's embedding tables");
  embeddings("encoder", "encoder.embeddings");
  for (let layer = 0; layer < encoderLayers; layer++) {
    const name = `model.encoder.layers.${layer}`;
    p.group(`Encoder layer ${layer}`);
    selfAttention(name, encoderLayer, "source");
    feedForward(name, "encoder", `encoder.layers.${layer}`);
  }
  if (variant.hasFinalNorm) {
    p.group("The encoder's final norm");
    normResidual("model.encoder.layer_norm", "encoder.final_norm");
  }
  for (let layer = 0; layer < layers; layer++) {
    p.group(`The source for layer ${layer}`);
    keysAndValues(`model.decoder.layers.${layer}.encoder_attn`, x, crossLayer(layer));
  }

  p.entry(FORWARD);
  p.group("The embedding tables");
  embeddings("decoder", "embeddings");
  for (let layer = 0; layer < layers; layer++) {
    const name = `model.decoder.layers.${layer}`;
    p.group(`Layer ${layer}`);
    selfAttention(name, layer, "past");
    sublayer(`${name}.encoder_attn_layer_norm`, (input) => {
      attention(`${name}.encoder_attn`, input, crossLayer(layer), "source");
    });
    feedForward(name, "decoder", `layers.${layer}`);
  }
  p.group("The language-model head");
  if (variant.hasFinalNorm) {
    normResidual("model.decoder.layer_norm", "final_norm");
  }
  const bias = config.hasLogitsBias ? p.vector("final_logits_bias", vocabSize) : undefined;
  p.op({ role: "logits", input: x, weight: tiedTo(HEAD), bias });

  const shape = { kvHeads: heads, headDim };
  return p.build({
    family,
    vocabSize,
    maxPositions,
    // The decoder's own states come first, then those of the encoder's input: one for its self-attention and one for each
    // layer of the decoder.
    state: [...kvLayers(layers, shape), ...sourceLayers(layers + 1, shape)],
  });
}
