/**
 * StarCoder2 (Lozhkov et al. 2024, https://arxiv.org/abs/2402.19173): Llama with LayerNorm, an MLP without a gate and biases
 * everywhere; every layer has a window. Its configuration is transformers' models/starcoder2/configuration_starcoder2.py,
 * whose defaults these are.
 */
import { z } from "zod";
import { windowKeys } from "../config/attention-windows.ts";
import { epsilon, parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "starcoder2";
const DEFAULT_THETA = 10_000;

// The class knows one kind of layer, and one key for all biases.
const schema = llamaDecoderSchema.omit({ attention_bias: true, mlp_bias: true, rms_norm_eps: true }).extend({
  hidden_act: z.string().default("gelu_pytorch_tanh"),
  norm_epsilon: epsilon.default(1e-5),
  use_bias: z.boolean().default(true),
  sliding_window: windowKeys.sliding_window,
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 50_256,
    eos_token_id: 50_256,
    num_key_value_heads: 2,
    max_position_embeddings: 4096,
    tie_word_embeddings: true,
  });
  const values = parseConfig(file, schema);
  const { use_bias: bias, norm_epsilon: rmsNormEps, sliding_window: window } = values;
  const others = { attention_bias: bias, mlp_bias: bias, rms_norm_eps: rmsNormEps };
  const config = readLlamaDecoder(file, { ...values, ...others }, { defaultTheta: DEFAULT_THETA });
  return {
    ...config,
    normKind: "layer",
    normBias: true,
    plainMlp: ["c_fc", "c_proj"],
    windows: Array.from({ length: config.layers }, () => window ?? undefined),
  };
}

export const starCoder2 = defineFamily({
  type: TYPE,
  architectures: ["Starcoder2ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["bigcode/starcoder2-3b", "bigcode/starcoder2-7b", "bigcode/starcoder2-15b"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
