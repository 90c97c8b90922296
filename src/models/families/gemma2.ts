/**
 * Gemma 2 (Gemma Team 2024, https://arxiv.org/abs/2408.00118): Gemma with norms on both sides of attention and MLP, soft caps of
 * scores and logits, and a window in every other layer. Its configuration is transformers'
 * models/gemma2/configuration_gemma2.py, whose defaults these are.
 */
import { readWindows } from "../config/attention-windows.ts";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { GEMMA_TOKENS, gemmaDifferences, gemmaSchema, refuseBidirectional } from "./shared/gemma.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "gemma2";
const DEFAULT_THETA = 10_000;

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    ...GEMMA_TOKENS,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
    sliding_window: 4096,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
  });
  refuseBidirectional(file);
  const values = parseConfig(file, gemmaSchema);
  const common = { ...values, hidden_act: values.hidden_activation, mlp_bias: false };
  return {
    ...readLlamaDecoder(file, common, { defaultTheta: DEFAULT_THETA, activationKey: "hidden_activation" }),
    ...gemmaDifferences(values),
    attentionCap: values.attn_logit_softcapping ?? undefined,
    windows: readWindows(file, {
      layers: values.num_hidden_layers,
      types: values.layer_types,
      window: values.sliding_window,
      slides: (layer) => layer % 2 === 0,
    }),
  };
}

export const gemma2 = defineFamily({
  type: TYPE,
  architectures: ["Gemma2ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["google/gemma-2-2b-it", "google/gemma-2-2b", "google/gemma-2-9b-it", "google/gemma-2-9b"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
