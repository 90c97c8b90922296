/**
 * Mistral (Jiang et al. 2023, https://arxiv.org/abs/2310.06825): Llama in which, where the file says so, every layer attends
 * to the last positions only. Its configuration is transformers' models/mistral/configuration_mistral.py, whose defaults
 * these are.
 */
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import { parseConfig, unsupportedConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "mistral";
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
  const windows = readWindows(file, { layers, types, window, slides: () => typeof window === "number" });
  // The class takes one kind for all layers, whatever the file's list says; Ministral's has the list.
  if (windows.some((size) => size !== (window ?? undefined))) {
    throw unsupportedConfig(
      file,
      `"layer_types" has layers without a window; supported for this model_type is "sliding_window" for all or none.`,
      "Use a model of this family with one kind of layer.",
    );
  }
  const biases = { attention_bias: false, mlp_bias: false };
  return { ...readLlamaDecoder(file, { ...values, ...biases }, { defaultTheta: DEFAULT_THETA }), windows };
}

export const mistral = defineFamily({
  type: TYPE,
  architectures: ["MistralForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "mistralai/Mistral-7B-Instruct-v0.3",
    "mistralai/Mistral-7B-v0.3",
    "mistralai/Mistral-7B-Instruct-v0.2",
    "mistralai/Mistral-7B-v0.1",
    "mistralai/Mistral-7B-Instruct-v0.1",
    "mistralai/Mistral-Nemo-Instruct-2407",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
