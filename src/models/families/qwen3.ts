/**
 * Qwen3 (Yang et al. 2025, https://arxiv.org/abs/2505.09388): Llama whose queries and keys are normed head by head before
 * they are rotated. Its configuration is transformers' models/qwen3/configuration_qwen3.py, whose defaults these are.
 */
import { qwenWindowKeys, readQwenWindows } from "../config/attention-windows.ts";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "qwen3";
const DEFAULT_THETA = 10_000;

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true }).extend(qwenWindowKeys);

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    num_key_value_heads: 32,
    head_dim: 128,
    max_position_embeddings: 32_768,
    sliding_window: 4096,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  return {
    ...readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: DEFAULT_THETA }),
    queryKeyNorm: "heads",
    windows: readQwenWindows(file, values.num_hidden_layers, values),
  };
}

export const qwen3 = defineFamily({
  type: TYPE,
  architectures: ["Qwen3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-1.7B",
    "Qwen/Qwen3-4B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-0.6B-Base",
    "Qwen/Qwen3-4B-Instruct-2507",
    "Qwen/Qwen3-4B-Thinking-2507",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
