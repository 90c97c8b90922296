/**
 * Granite 3 (IBM 2024): Llama with four factors, of the embeddings, of what attention and MLP add, of the scores and of the
 * logits. Its configuration is transformers' models/granite/configuration_granite.py, whose defaults these are.
 */
import { z } from "zod";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "granite";
const DEFAULT_THETA = 10_000;

/** Published factors lie between 0.0078 and 16. */
const multiplier = z.number().min(1e-4).max(1e4).default(1);

const schema = llamaDecoderSchema.extend({
  embedding_multiplier: multiplier,
  logits_scaling: multiplier,
  residual_multiplier: multiplier,
  attention_multiplier: multiplier,
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  return {
    ...readLlamaDecoder(file, values, { defaultTheta: DEFAULT_THETA }),
    embeddingScale: values.embedding_multiplier,
    attentionScale: values.attention_multiplier,
    residualScale: values.residual_multiplier,
    // Logits are divided by it.
    logitsScale: 1 / values.logits_scaling,
  };
}

export const granite = defineFamily({
  type: TYPE,
  architectures: ["GraniteForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "ibm-granite/granite-3.3-2b-instruct",
    "ibm-granite/granite-3.3-8b-instruct",
    "ibm-granite/granite-3.1-2b-instruct",
    "ibm-granite/granite-3.0-2b-instruct",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
