/**
 * Qwen3 with mixtures of experts (Yang et al. 2025, https://arxiv.org/abs/2505.09388): in the place of every MLP, or of every
 * n-th, or of all but some. Its configuration is transformers' models/qwen3_moe/configuration_qwen3_moe.py, whose defaults
 * these are.
 */
import { z } from "zod";
import { readExperts } from "../config/experts.ts";
import {
  count,
  parseConfig,
  positions,
  size,
  withAliases,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { QWEN_EXPERTS } from "../expert-tensors.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "qwen3_moe";
const DEFAULT_THETA = 10_000;

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true }).extend({
  num_experts_per_tok: count,
  num_experts: z.int().min(0).max(4096),
  moe_intermediate_size: size,
  norm_topk_prob: z.boolean(),
  decoder_sparse_step: count,
  mlp_only_layers: z.array(z.int()).nullish(),
  use_sliding_window: z.boolean(),
  sliding_window: positions.nullish(),
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(withAliases(given, { num_local_experts: "num_experts" }), {
    num_key_value_heads: 4,
    intermediate_size: 6144,
    max_position_embeddings: 32_768,
    tie_word_embeddings: false,
    use_sliding_window: false,
    sliding_window: 4096,
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 768,
    norm_topk_prob: false,
    decoder_sparse_step: 1,
  });
  const values = parseConfig(file, schema);
  const config = readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: DEFAULT_THETA });
  const { layers } = config;
  const window = values.use_sliding_window ? (values.sliding_window ?? undefined) : undefined;
  const decoder: LlamaDecoderConfig = {
    ...config,
    queryKeyNorm: "heads",
    windows: Array<number | undefined>(layers).fill(window),
  };
  if (values.num_experts === 0) {
    return decoder;
  }
  const experts = readExperts(file, "num_experts", {
    count: values.num_experts,
    chosen: values.num_experts_per_tok,
    normalize: values.norm_topk_prob,
    intermediateSize: values.moe_intermediate_size,
    layers: Array.from(
      { length: layers },
      (_, layer) =>
        values.mlp_only_layers?.includes(layer) !== true && (layer + 1) % values.decoder_sparse_step === 0,
    ),
  });
  return { ...decoder, experts: { ...experts, modules: QWEN_EXPERTS } };
}

export const qwen3Moe = defineFamily({
  type: TYPE,
  architectures: ["Qwen3MoeForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  experts: QWEN_EXPERTS,
  published: [
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "Qwen/Qwen3-30B-A3B-Thinking-2507",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "Qwen/Qwen3-30B-A3B-Base",
    "Qwen/Qwen3-235B-A22B",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
