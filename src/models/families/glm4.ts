/**
 * GLM-4 (Team GLM 2024, https://arxiv.org/abs/2406.12793), as "glm" and, with norms on both sides of attention and MLP, as "glm4":
 * Llama that rotates pairs of neighbouring channels of half a head, with gate and up as one tensor. Their configurations are
 * transformers' models/glm/configuration_glm.py and models/glm4/configuration_glm4.py, whose defaults these are.
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

const [FIRST, SECOND] = ["glm", "glm4"];
const DEFAULT_THETA = 10_000;

// The classes know no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    eos_token_id: [151_329, 151_336, 151_338],
    pad_token_id: 151_329,
    num_key_value_heads: 2,
    head_dim: 128,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1.5625e-7,
    partial_rotary_factor: 0.5,
    attention_bias: true,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  const options = { defaultTheta: DEFAULT_THETA, ropeKinds: { isPartial: true } };
  return {
    ...readLlamaDecoder(file, { ...values, mlp_bias: false }, options),
    outputBias: false,
    isInterleaved: true,
    fused: ["mlp"],
  };
}

export const glm = defineFamily({
  type: FIRST,
  architectures: ["GlmForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["zai-org/glm-4-9b-chat-hf", "zai-org/glm-edge-4b-chat", "zai-org/glm-edge-1.5b-chat"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(FIRST, config, separate),
});

export const glm4 = defineFamily({
  type: SECOND,
  architectures: ["Glm4ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["zai-org/GLM-4-9B-0414", "zai-org/GLM-Z1-9B-0414", "zai-org/GLM-4-32B-0414"],
  readConfig: (file) => ({
    ...readConfig(file),
    norms: {
      attention: { before: "input_layernorm", after: "post_self_attn_layernorm" },
      mlp: { before: "post_attention_layernorm", after: "post_mlp_layernorm" },
    },
  }),
  buildProgram: (config, separate) => buildLlamaDecoder(SECOND, config, separate),
});
