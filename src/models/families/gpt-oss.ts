/**
 * gpt-oss (OpenAI 2025, https://arxiv.org/abs/2508.10925): mixtures of experts in every layer, a window in every other one, and
 * heads with sinks. Its configuration is transformers' models/gpt_oss/configuration_gpt_oss.py, whose defaults these are.
 */
import { z } from "zod";
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import { readExperts } from "../config/experts.ts";
import {
  count,
  parseConfig,
  unsupportedConfig,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { GPT_OSS_EXPERTS } from "../expert-tensors.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "gpt_oss";
const DEFAULT_THETA = 150_000;

/** What the class has where a file says nothing of rotation. */
const DEFAULT_ROPE = {
  rope_type: "yarn",
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
};

const clampNumber = z.number().min(1e-3).max(1e3);

// The class knows no "mlp_bias": experts and what chooses them always have biases.
const schema = llamaDecoderSchema.omit({ mlp_bias: true }).extend({
  ...windowKeys,
  num_experts_per_tok: count,
  num_local_experts: count,
  swiglu_alpha: clampNumber,
  swiglu_limit: clampNumber,
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(withAliases(withRope(given), { num_experts: "num_local_experts" }), {
    num_key_value_heads: 8,
    head_dim: 64,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    attention_bias: true,
    sliding_window: 128,
    num_local_experts: 128,
    num_experts_per_tok: 4,
    swiglu_alpha: 1.702,
    swiglu_limit: 7,
  });
  const values = parseConfig(file, schema);
  const config = readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: DEFAULT_THETA });
  if (config.activation !== "silu") {
    // The class has its gate whatever the file says.
    throw unsupportedConfig(
      file,
      `"hidden_act" is "${values.hidden_act}"; the experts of gpt-oss have a clamped "silu".`,
      'Use a model whose "hidden_act" is "silu".',
    );
  }
  const { layers } = config;
  const experts = readExperts(file, "num_local_experts", {
    count: values.num_local_experts,
    chosen: values.num_experts_per_tok,
    normalize: true,
    intermediateSize: config.intermediateSize,
    layers: Array<boolean>(layers).fill(true),
    hasBias: true,
    clamp: { alpha: values.swiglu_alpha, limit: values.swiglu_limit },
  });
  return {
    ...config,
    hasSinks: true,
    windows: readWindows(file, {
      layers,
      types: values.layer_types,
      window: values.sliding_window,
      slides: (layer) => layer % 2 === 0,
    }),
    experts: { ...experts, modules: GPT_OSS_EXPERTS },
  };
}

/** The same file; one that says nothing of rotation, or null, has the class's. */
function withRope(file: ConfigFile): ConfigFile {
  const { rope_parameters: newer, rope_scaling: older } = file.values;
  const isAbsent = (value: unknown): boolean => value === undefined || value === null;
  return isAbsent(newer) && isAbsent(older)
    ? { ...file, values: { ...file.values, rope_parameters: DEFAULT_ROPE } }
    : file;
}

export const gptOss = defineFamily({
  type: TYPE,
  architectures: ["GptOssForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  experts: GPT_OSS_EXPERTS,
  quantizations: ["mxfp4"],
  published: ["openai/gpt-oss-20b", "openai/gpt-oss-120b", "unsloth/gpt-oss-20b-BF16"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
