/**
 * Qwen2 and Qwen2.5 (Yang et al. 2024, https://arxiv.org/abs/2407.10671 and https://arxiv.org/abs/2412.15115): Llama whose
 * queries, keys and values have biases. Upper layers may attend to the last positions only. Its configuration is
 * transformers' models/qwen2/configuration_qwen2.py, whose defaults these are.
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

const TYPE = "qwen2";
const DEFAULT_THETA = 10_000;

// The class knows no "attention_bias" and no "mlp_bias": what a file says of them has no effect.
const schema = llamaDecoderSchema.omit({ attention_bias: true, mlp_bias: true }).extend(qwenWindowKeys);

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    num_key_value_heads: 32,
    max_position_embeddings: 32_768,
    sliding_window: 4096,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  const biases = { attention_bias: true, mlp_bias: false };
  return {
    ...readLlamaDecoder(file, { ...values, ...biases }, { defaultTheta: DEFAULT_THETA }),
    outputBias: false,
    windows: readQwenWindows(file, values.num_hidden_layers, values),
  };
}

export const qwen2 = defineFamily({
  type: TYPE,
  architectures: ["Qwen2ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "Qwen/Qwen2.5-0.5B-Instruct",
    "Qwen/Qwen2.5-0.5B",
    "Qwen/Qwen2.5-1.5B-Instruct",
    "Qwen/Qwen2.5-3B-Instruct",
    "Qwen/Qwen2.5-7B-Instruct",
    "Qwen/Qwen2.5-Coder-0.5B-Instruct",
    "Qwen/Qwen2.5-Coder-1.5B-Instruct",
    "Qwen/Qwen2-0.5B-Instruct",
    "Qwen/Qwen2-1.5B-Instruct",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
