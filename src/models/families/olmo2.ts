/**
 * OLMo 2 (Walsh et al. 2025, https://arxiv.org/abs/2501.00656): Llama with norms behind attention and MLP instead of before
 * them, and of queries and keys, over all heads at once. Its configuration is transformers'
 * models/olmo2/configuration_olmo2.py, whose defaults these are.
 */
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "olmo2";
const DEFAULT_THETA = 10_000;

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    eos_token_id: 50_279,
    pad_token_id: 1,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  return {
    ...readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: DEFAULT_THETA }),
    queryKeyNorm: "projection",
    norms: {
      attention: { after: "post_attention_layernorm" },
      mlp: { after: "post_feedforward_layernorm" },
    },
  };
}

export const olmo2 = defineFamily({
  type: TYPE,
  architectures: ["Olmo2ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "allenai/OLMo-2-0425-1B-Instruct",
    "allenai/OLMo-2-0425-1B",
    "allenai/OLMo-2-1124-7B-Instruct",
    "allenai/OLMo-2-1124-7B",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
