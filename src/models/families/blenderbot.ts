/**
 * Blenderbot (Roller et al. 2021, https://arxiv.org/abs/2004.13637): the encoder–decoder with its norms before the
 * sublayers, and a last one. Its configuration is transformers' models/blenderbot/configuration_blenderbot.py.
 */
import { defineFamily } from "./family.ts";
import { readEncoderDecoder } from "./shared/encoder-decoder-config.ts";
import {
  buildEncoderDecoder,
  ENCODER_DECODER_TIED,
  type EncoderDecoderVariant,
} from "./shared/encoder-decoder.ts";

const TYPE = "blenderbot";

const VARIANT: EncoderDecoderVariant = {
  norm: "before",
  scaled: ["encoder", "decoder"],
  hasFinalNorm: true,
  positionOffset: 0,
};

/** The defaults of the configuration's class in transformers. */
const DEFAULTS = {
  pad_token_id: 0,
  bos_token_id: 1,
  eos_token_id: 2,
  decoder_start_token_id: 1,
  forced_eos_token_id: 2,
  encoder_no_repeat_ngram_size: 3,
};

export const blenderbot = defineFamily({
  type: TYPE,
  architectures: ["BlenderbotForConditionalGeneration"],
  basePrefix: "model.",
  tied: ENCODER_DECODER_TIED,
  tokenizerClass: "BlenderbotTokenizer",
  published: ["facebook/blenderbot-400M-distill"],
  readConfig: (file) =>
    readEncoderDecoder(file, { defaults: DEFAULTS, norm: VARIANT.norm, baseModel: "BlenderbotModel" }),
  buildProgram: (config, separate) => buildEncoderDecoder(TYPE, VARIANT, config, separate),
});
