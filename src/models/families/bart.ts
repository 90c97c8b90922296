/**
 * BART (Lewis et al. 2020, https://arxiv.org/abs/1910.13461): the encoder–decoder with its norms after the sublayers, and
 * one of the embeddings. Its configuration is transformers' models/bart/configuration_bart.py.
 */
import { defineFamily } from "./family.ts";
import { readEncoderDecoder } from "./shared/encoder-decoder-config.ts";
import {
  buildEncoderDecoder,
  ENCODER_DECODER_TIED,
  type EncoderDecoderVariant,
} from "./shared/encoder-decoder.ts";

const TYPE = "bart";

const VARIANT: EncoderDecoderVariant = {
  norm: "after",
  embeddingNorm: { encoder: "after-positions", decoder: "after-positions" },
  scaled: ["encoder", "decoder"],
  hasFinalNorm: false,
  positionOffset: 2,
};

/** The defaults of the configuration's class in transformers. */
const DEFAULTS = {
  pad_token_id: 1,
  bos_token_id: 0,
  eos_token_id: 2,
  decoder_start_token_id: 2,
  forced_eos_token_id: 2,
};

export const bart = defineFamily({
  type: TYPE,
  architectures: ["BartForConditionalGeneration", "BartModel"],
  basePrefix: "model.",
  tied: ENCODER_DECODER_TIED,
  tokenizerClass: "BartTokenizer",
  published: ["facebook/bart-base", "facebook/bart-large-cnn"],
  readConfig: (file) =>
    readEncoderDecoder(file, { defaults: DEFAULTS, norm: VARIANT.norm, baseModel: "BartModel" }),
  buildProgram: (config, separate) => buildEncoderDecoder(TYPE, VARIANT, config, separate),
});
