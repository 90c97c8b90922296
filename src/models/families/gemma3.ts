/**
 * Gemma 3 (Gemma Team 2025, https://arxiv.org/abs/2503.19786): Gemma 2 with norms of queries and keys instead of soft caps, five
 * layers with a window for each without, and frequencies of their own for those. Its configuration is transformers'
 * models/gemma3/configuration_gemma3.py, whose defaults these are.
 *
 * Of a model of images and text ("gemma3") the language model ("gemma3_text") is used.
 */
import { readWindows } from "../config/attention-windows.ts";
import { readLayeredRope } from "../config/layered-rope.ts";
import { count, parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { readTextConfig, TEXT_MODEL_PREFIXES } from "../config/text-config.ts";
import { defineFamily } from "./family.ts";
import { GEMMA_TOKENS, gemmaDifferences, gemmaSchema, refuseBidirectional } from "./shared/gemma.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TEXT = "gemma3_text";
const IMAGES_AND_TEXT = "gemma3";
const THETAS = { theta: 1_000_000, localTheta: 10_000, localThetaKey: "rope_local_base_freq" };

const schema = gemmaSchema.extend({ sliding_window_pattern: count.default(6) });

/** Text configurations of models with images leave out what is as in the class. */
function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    ...GEMMA_TOKENS,
    vocab_size: 262_208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131_072,
    tie_word_embeddings: true,
    sliding_window: 4096,
  });
  refuseBidirectional(file);
  const values = parseConfig(file, schema);
  const { rope, localRope } = readLayeredRope(file, THETAS);
  const common = { ...values, hidden_act: values.hidden_activation, mlp_bias: false };
  const options = { defaultTheta: THETAS.theta, rope, activationKey: "hidden_activation" };
  return {
    ...readLlamaDecoder(file, common, options),
    ...gemmaDifferences(values),
    localRope,
    queryKeyNorm: "heads",
    windows: readWindows(file, {
      layers: values.num_hidden_layers,
      types: values.layer_types,
      window: values.sliding_window,
      slides: (layer) => (layer + 1) % values.sliding_window_pattern !== 0,
    }),
  };
}

export const gemma3Text = defineFamily({
  type: TEXT,
  architectures: ["Gemma3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "google/gemma-3-270m-it",
    "google/gemma-3-270m",
    "google/gemma-3-1b-it",
    "google/gemma-3-1b-pt",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TEXT, config, separate),
});

export const gemma3 = defineFamily({
  type: IMAGES_AND_TEXT,
  architectures: ["Gemma3ForConditionalGeneration"],
  basePrefix: "model.",
  otherPrefixes: TEXT_MODEL_PREFIXES,
  tied: LLAMA_TIED,
  published: ["google/gemma-3-4b-it", "google/gemma-3-4b-pt", "google/gemma-3-12b-it"],
  readConfig: (file) => readConfig(readTextConfig(file)),
  buildProgram: (config, separate) => buildLlamaDecoder(IMAGES_AND_TEXT, config, separate),
});
