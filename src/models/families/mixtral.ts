/**
 * Mixtral (Jiang et al. 2024, https://arxiv.org/abs/2401.04088): Mistral with mixtures of experts in the place of its MLPs.
 * Its configuration is transformers' models/mixtral/configuration_mixtral.py, whose defaults these are.
 */
import { readExperts } from "../config/experts.ts";
import {
  count,
  parseConfig,
  positions,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { MIXTRAL_EXPERTS } from "../expert-tensors.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "mixtral";
const DEFAULT_THETA = 1_000_000;

// The class knows no biases: what a file says of them has no effect.
const schema = llamaDecoderSchema.omit({ attention_bias: true, mlp_bias: true }).extend({
  num_experts_per_tok: count,
  num_local_experts: count,
  sliding_window: positions.nullish(),
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(withAliases(given, { num_experts: "num_local_experts" }), {
    bos_token_id: 1,
    eos_token_id: 2,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    num_local_experts: 8,
    num_experts_per_tok: 2,
  });
  const values = parseConfig(file, schema);
  const biases = { attention_bias: false, mlp_bias: false };
  const config = readLlamaDecoder(file, { ...values, ...biases }, { defaultTheta: DEFAULT_THETA });
  const { layers } = config;
  const experts = readExperts(file, "num_local_experts", {
    count: values.num_local_experts,
    chosen: values.num_experts_per_tok,
    normalize: true,
    intermediateSize: config.intermediateSize,
    layers: Array<boolean>(layers).fill(true),
  });
  return {
    ...config,
    windows: Array<number | undefined>(layers).fill(values.sliding_window ?? undefined),
    experts: { ...experts, modules: MIXTRAL_EXPERTS },
  };
}

export const mixtral = defineFamily({
  type: TYPE,
  architectures: ["MixtralForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  experts: MIXTRAL_EXPERTS,
  published: [
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "mistralai/Mixtral-8x7B-v0.1",
    "mistralai/Mixtral-8x22B-Instruct-v0.1",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
