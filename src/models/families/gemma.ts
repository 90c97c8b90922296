/**
 * Gemma (Gemma Team 2024, https://arxiv.org/abs/2403.08295): Llama whose norms multiply by 1 + w, whose embeddings are scaled
 * by the root of their size, and whose MLP has a GELU. Its configuration is transformers'
 * models/gemma/configuration_gemma.py, whose defaults these are.
 */
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import { GEMMA_TOKENS, refuseBidirectional } from "./shared/gemma.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "gemma";
const DEFAULT_THETA = 10_000;

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    ...GEMMA_TOKENS,
    num_key_value_heads: 16,
    head_dim: 256,
    hidden_act: "gelu_pytorch_tanh",
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  });
  refuseBidirectional(file);
  const values = parseConfig(file, schema);
  // The first files say "gelu" and mean its approximation.
  const hidden_act = values.hidden_act === "gelu" ? "gelu_pytorch_tanh" : values.hidden_act;
  const options = { defaultTheta: DEFAULT_THETA };
  return {
    ...readLlamaDecoder(file, { ...values, hidden_act, mlp_bias: false }, options),
    normOffset: 1,
    embeddingScale: Math.sqrt(values.hidden_size),
  };
}

export const gemma = defineFamily({
  type: TYPE,
  architectures: ["GemmaForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "google/gemma-2b-it",
    "google/gemma-2b",
    "google/gemma-7b-it",
    "google/gemma-7b",
    "google/gemma-1.1-2b-it",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
