/**
 * Ministral (Mistral AI 2024): Mistral whose layers may have a window or none, one by one. Its configuration is transformers'
 * models/ministral/configuration_ministral.py, whose defaults these are.
 */
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "ministral";
const DEFAULT_THETA = 10_000;

// The class knows no biases: what a file says of them has no effect.
const schema = llamaDecoderSchema.omit({ attention_bias: true, mlp_bias: true }).extend(windowKeys);

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  const { num_hidden_layers: layers, layer_types: types, sliding_window: window } = values;
  const biases = { attention_bias: false, mlp_bias: false };
  return {
    ...readLlamaDecoder(file, { ...values, ...biases }, { defaultTheta: DEFAULT_THETA }),
    windows: readWindows(file, { layers, types, window, slides: () => typeof window === "number" }),
  };
}

export const ministral = defineFamily({
  type: TYPE,
  architectures: ["MinistralForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["mistralai/Ministral-8B-Instruct-2410"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
