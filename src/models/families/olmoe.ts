/**
 * OLMoE (Muennighoff et al. 2024, https://arxiv.org/abs/2409.02060): Llama with norms of queries and keys, over all heads at
 * once, and many small experts in the place of every MLP. Its configuration is transformers'
 * models/olmoe/configuration_olmoe.py, whose defaults these are.
 */
import { z } from "zod";
import { readExperts } from "../config/experts.ts";
import {
  count,
  parseConfig,
  unsupportedConfig,
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

const TYPE = "olmoe";
const DEFAULT_THETA = 10_000;

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true }).extend({
  num_experts_per_tok: count,
  num_experts: count,
  norm_topk_prob: z.boolean(),
  clip_qkv: z.number().nullish(),
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(withAliases(given, { num_local_experts: "num_experts" }), {
    eos_token_id: 50_279,
    pad_token_id: 1,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    num_experts: 64,
    num_experts_per_tok: 8,
    norm_topk_prob: false,
  });
  const values = parseConfig(file, schema);
  if (typeof values.clip_qkv === "number") {
    throw unsupportedConfig(
      file,
      `"clip_qkv" is ${values.clip_qkv}; bounds of queries, keys and values are not supported: expected null.`,
      "Use a model without them, as OLMoE-1B-7B-0924 is.",
    );
  }
  const config = readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: DEFAULT_THETA });
  const experts = readExperts(file, "num_experts", {
    count: values.num_experts,
    chosen: values.num_experts_per_tok,
    normalize: values.norm_topk_prob,
    intermediateSize: config.intermediateSize,
    layers: Array<boolean>(config.layers).fill(true),
  });
  return { ...config, queryKeyNorm: "projection", experts: { ...experts, modules: QWEN_EXPERTS } };
}

export const olmoe = defineFamily({
  type: TYPE,
  architectures: ["OlmoeForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  experts: QWEN_EXPERTS,
  published: [
    "allenai/OLMoE-1B-7B-0924-Instruct",
    "allenai/OLMoE-1B-7B-0125-Instruct",
    "allenai/OLMoE-1B-7B-0924",
    "allenai/OLMoE-1B-7B-0125",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
