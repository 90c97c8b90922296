/**
 * What the config.json of encoder–decoders has in common (transformers: configuration_bart.py,
 * configuration_blenderbot.py and configuration_blenderbot_small.py).
 */
import { z } from "zod";
import type { JsonObject } from "../../../base/json.ts";
import type { Activation } from "../../../runtime/program.ts";
import { readActivation } from "../../config/activation.ts";
import { baseSchema, readBase, type BaseConfig } from "../../config/base.ts";
import { readHeadDim } from "../../config/heads.ts";
import {
  count,
  parseConfig,
  positions,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../../config/schema.ts";

/** The configuration of an encoder–decoder. */
export interface EncoderDecoderConfig extends BaseConfig {
  hiddenSize: number;
  encoderLayers: number;
  /** Inner channels of the encoder's MLP. */
  encoderIntermediateSize: number;
  /** Inner channels of the decoder's MLP. */
  intermediateSize: number;
  /** Heads of every attention. */
  heads: number;
  headDim: number;
  activation: Activation;
  /** Factor of the embeddings. */
  embeddingScale: number;
  /** Whether logits have a bias. A checkpoint of the base model alone has none; transformers takes zeros then. */
  hasLogitsBias: boolean;
}

const ALIASES = {
  hidden_size: "d_model",
  num_attention_heads: "encoder_attention_heads",
  num_hidden_layers: "encoder_layers",
};

/** What the class of a family in transformers says of its configurations. */
export interface EncoderDecoderClass {
  /** Values of keys that a file leaves out. */
  readonly defaults: JsonObject;
  /** Where the norm of a sublayer is; files may say the same, but not otherwise. */
  readonly norm: "before" | "after";
  /** The architecture of the base model alone, whose checkpoints have no bias of the logits. */
  readonly baseModel: string;
}

const schema = baseSchema.extend({
  architectures: z.array(z.string()).nullish(),
  d_model: size,
  encoder_layers: count,
  decoder_layers: count,
  encoder_attention_heads: count,
  decoder_attention_heads: count,
  encoder_ffn_dim: size,
  decoder_ffn_dim: size,
  max_position_embeddings: positions,
  activation_function: z.string().default("gelu"),
  scale_embedding: z.boolean().default(false),
  is_encoder_decoder: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
  // Files from before each family had a class of its own have this key.
  normalize_before: z.boolean().nullish(),
  force_bos_token_to_be_generated: z.boolean().nullish(),
});

type Values = z.output<typeof schema>;

/**
 * Reads the configuration of an encoder–decoder.
 *
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the family could have but the
 *   forward pass has not
 */
export function readEncoderDecoder(
  given: ConfigFile,
  { defaults, norm, baseModel }: EncoderDecoderClass,
): EncoderDecoderConfig {
  const filled = withDefaults(withAliases(given, ALIASES), defaults);
  const values = parseConfig(filled, schema);
  refuseUnsupported(filled, values, norm === "before");
  // The key force_bos_token_to_be_generated is the older way of saying forced_bos_token_id.
  const file = values.force_bos_token_to_be_generated
    ? withDefaults(filled, { forced_bos_token_id: values.bos_token_id })
    : filled;
  const heads = values.encoder_attention_heads;
  return {
    ...readBase(file, values),
    hiddenSize: values.d_model,
    encoderLayers: values.encoder_layers,
    layers: values.decoder_layers,
    encoderIntermediateSize: values.encoder_ffn_dim,
    intermediateSize: values.decoder_ffn_dim,
    heads,
    headDim: readHeadDim(file, ["d_model", values.d_model], ["encoder_attention_heads", heads]),
    maxPositions: values.max_position_embeddings,
    activation: readActivation(file, "activation_function", values.activation_function),
    embeddingScale: values.scale_embedding ? Math.sqrt(values.d_model) : 1,
    hasLogitsBias: values.architectures?.[0] !== baseModel,
  };
}

function refuseUnsupported(file: ConfigFile, values: Values, normalizesBefore: boolean): void {
  const { encoder_attention_heads: encoderHeads, decoder_attention_heads: decoderHeads } = values;
  if (encoderHeads !== decoderHeads) {
    throw unsupportedConfig(
      file,
      `"encoder_attention_heads" is ${encoderHeads} and "decoder_attention_heads" ${decoderHeads}; ` +
        "heads of two sizes are not supported.",
      "Use a model with as many heads in both.",
    );
  }
  if (!values.is_encoder_decoder) {
    throw unsupportedConfig(
      file,
      '"is_encoder_decoder" is false; a decoder of this family alone is not supported.',
      "Use a model with both halves.",
    );
  }
  if (!values.tie_word_embeddings) {
    throw unsupportedConfig(
      file,
      '"tie_word_embeddings" is false; separate embeddings are not supported for this model.',
      "Use a model whose LM head is its embedding matrix.",
    );
  }
  if ((values.normalize_before ?? normalizesBefore) !== normalizesBefore) {
    throw unsupportedConfig(
      file,
      `"normalize_before" is ${values.normalize_before}; this model_type has ${normalizesBefore}.`,
      'Check the "model_type": "blenderbot" normalizes before, "bart" and "blenderbot-small" do so after.',
    );
  }
}
