/**
 * Blenderbot's first models (Roller et al. 2021, https://arxiv.org/abs/2004.13637), built as BART but for the norm and
 * the scale of the embeddings. Their configuration is transformers'
 * models/blenderbot_small/configuration_blenderbot_small.py.
 */
import { defineFamily } from "./family.ts";
import { readEncoderDecoder } from "./shared/encoder-decoder-config.ts";
import {
  buildEncoderDecoder,
  ENCODER_DECODER_TIED,
  type EncoderDecoderVariant,
} from "./shared/encoder-decoder.ts";

const TYPE = "blenderbot-small";

const VARIANT: EncoderDecoderVariant = {
  norm: "after",
  embeddingNorm: { encoder: "after-positions", decoder: "before-positions" },
  // transformers 5 scales the encoder's embeddings alone; 4 scaled the decoder's too, which its norm undoes but for the
  // epsilon.
  scaled: ["encoder"],
  hasFinalNorm: false,
  positionOffset: 0,
};

/** The defaults of the configuration's class in transformers. */
const DEFAULTS = {
  pad_token_id: 0,
  bos_token_id: 1,
  eos_token_id: 2,
  decoder_start_token_id: 1,
  forced_eos_token_id: 2,
};

export const blenderbotSmall = defineFamily({
  type: TYPE,
  architectures: ["BlenderbotSmallForConditionalGeneration"],
  basePrefix: "model.",
  tied: ENCODER_DECODER_TIED,
  tokenizerClass: "BlenderbotSmallTokenizer",
  published: ["facebook/blenderbot_small-90M"],
  readConfig: (file) =>
    readEncoderDecoder(file, { defaults: DEFAULTS, norm: VARIANT.norm, baseModel: "BlenderbotSmallModel" }),
  buildProgram: (config, separate) => buildEncoderDecoder(TYPE, VARIANT, config, separate),
});
