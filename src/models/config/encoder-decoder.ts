/**
 * The config.json of BART and the two Blenderbots (transformers: configuration_bart.py, configuration_blenderbot.py and
 * configuration_blenderbot_small.py, whose defaults these are).
 */
import { z } from "zod";
import type { JsonObject } from "../../base/json.ts";
import type { Activation } from "../../runtime/program.ts";
import { readActivation } from "./activation.ts";
import { baseSchema, readBase, type BaseConfig } from "./base.ts";
import { readHeadDim } from "./head-dim.ts";
import {
  count,
  parseConfig,
  size,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "./schema.ts";

type EncoderDecoderFamily = "bart" | "blenderbot" | "blenderbot-small";

export interface EncoderDecoderConfig extends BaseConfig {
  family: EncoderDecoderFamily;
  hiddenSize: number;
  encoderLayers: number;
  encoderIntermediateSize: number;
  /** Of the decoder. */
  intermediateSize: number;
  /** Of every attention. */
  heads: number;
  headDim: number;
  activation: Activation;
  /** Multiplies the embeddings. */
  embeddingScale: number;
  /** A checkpoint of the base model alone has no bias of the logits; transformers takes zeros then. */
  hasLogitsBias: boolean;
}

const ALIASES = {
  hidden_size: "d_model",
  num_attention_heads: "encoder_attention_heads",
  num_hidden_layers: "encoder_layers",
};

const BLENDERBOT = {
  pad_token_id: 0,
  bos_token_id: 1,
  eos_token_id: 2,
  decoder_start_token_id: 1,
  forced_eos_token_id: 2,
};

const FAMILIES: Readonly<
  Record<EncoderDecoderFamily, { defaults: JsonObject; normalizesBefore: boolean; baseModel: string }>
> = {
  bart: {
    defaults: {
      pad_token_id: 1,
      bos_token_id: 0,
      eos_token_id: 2,
      decoder_start_token_id: 2,
      forced_eos_token_id: 2,
    },
    normalizesBefore: false,
    baseModel: "BartModel",
  },
  blenderbot: {
    defaults: { ...BLENDERBOT, encoder_no_repeat_ngram_size: 3 },
    normalizesBefore: true,
    baseModel: "BlenderbotModel",
  },
  "blenderbot-small": { defaults: BLENDERBOT, normalizesBefore: false, baseModel: "BlenderbotSmallModel" },
};

const schema = baseSchema.extend({
  architectures: z.array(z.string()).nullish(),
  d_model: size,
  encoder_layers: count,
  decoder_layers: count,
  encoder_attention_heads: count,
  decoder_attention_heads: count,
  encoder_ffn_dim: size,
  decoder_ffn_dim: size,
  max_position_embeddings: size,
  activation_function: z.string().default("gelu"),
  scale_embedding: z.boolean().default(false),
  is_encoder_decoder: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
  // Of files from before each family had a class of its own.
  normalize_before: z.boolean().nullish(),
  force_bos_token_to_be_generated: z.boolean().nullish(),
});

type Values = z.output<typeof schema>;

export const readBartConfig = (file: ConfigFile): EncoderDecoderConfig => readEncoderDecoder("bart", file);
export const readBlenderbotConfig = (file: ConfigFile): EncoderDecoderConfig =>
  readEncoderDecoder("blenderbot", file);
export const readBlenderbotSmallConfig = (file: ConfigFile): EncoderDecoderConfig =>
  readEncoderDecoder("blenderbot-small", file);

/** Throws "invalid-config" for wrong values, "unsupported" for what the family could have but this program has not. */
function readEncoderDecoder(family: EncoderDecoderFamily, given: ConfigFile): EncoderDecoderConfig {
  const filled = withDefaults(withAliases(given, ALIASES), FAMILIES[family].defaults);
  const values = parseConfig(filled, schema);
  refuseUnsupported(filled, values, FAMILIES[family].normalizesBefore);
  // The older name of forced_bos_token_id.
  const file = values.force_bos_token_to_be_generated
    ? withDefaults(filled, { forced_bos_token_id: values.bos_token_id })
    : filled;
  const heads = values.encoder_attention_heads;
  return {
    family,
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
    hasLogitsBias: values.architectures?.[0] !== FAMILIES[family].baseModel,
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
