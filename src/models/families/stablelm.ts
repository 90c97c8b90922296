/**
 * StableLM 3B and StableLM 2 (Stability AI 2023 and 2024, https://arxiv.org/abs/2402.17834): Llama with LayerNorm, whose bias is
 * one of few, and a quarter of a head rotated; attention and MLP may be side by side. Its configuration is transformers'
 * models/stablelm/configuration_stablelm.py, whose defaults these are.
 */
import { z } from "zod";
import { epsilon, parseConfig, unsupportedConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "stablelm";
const DEFAULT_THETA = 10_000;

// The class knows no "head_dim" and other biases: what a file says of them has no effect.
const schema = llamaDecoderSchema
  .omit({ head_dim: true, attention_bias: true, mlp_bias: true, rms_norm_eps: true })
  .extend({
    layer_norm_eps: epsilon.default(1e-5),
    use_qkv_bias: z.boolean().default(false),
    use_parallel_residual: z.boolean().default(false),
    qk_layernorm: z.boolean().default(false),
  });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 0,
    eos_token_id: 0,
    max_position_embeddings: 4096,
    partial_rotary_factor: 0.25,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  if (values.qk_layernorm) {
    throw unsupportedConfig(
      file,
      '"qk_layernorm" is true; norms whose weights differ from head to head are not supported.',
      "Use a model of this family without them, as StableLM 2 1.6B is.",
    );
  }
  const others = {
    attention_bias: values.use_qkv_bias,
    mlp_bias: false,
    rms_norm_eps: values.layer_norm_eps,
  };
  const options = { defaultTheta: DEFAULT_THETA, ropeKinds: { isPartial: true } };
  return {
    ...readLlamaDecoder(file, { ...values, ...others }, options),
    outputBias: false,
    normKind: "layer",
    normBias: true,
    ...(values.use_parallel_residual && {
      isParallel: true,
      norms: { attention: { before: "input_layernorm" }, mlp: {} },
    }),
  };
}

export const stableLm = defineFamily({
  type: TYPE,
  architectures: ["StableLmForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "stabilityai/stablelm-2-1_6b-chat",
    "stabilityai/stablelm-2-zephyr-1_6b",
    "stabilityai/stablelm-2-1_6b",
    "stabilityai/stablelm-zephyr-3b",
    "stabilityai/stablelm-3b-4e1t",
    "stabilityai/stable-code-3b",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
