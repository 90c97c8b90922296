/**
 * Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971), of which SmolLM2 is one too. Its configuration is
 * transformers' models/llama/configuration_llama.py, whose defaults these are.
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

const TYPE = "llama";
const DEFAULT_THETA = 10_000;

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, llamaDecoderSchema);
  return readLlamaDecoder(file, values, { defaultTheta: DEFAULT_THETA });
}

export const llama = defineFamily({
  type: TYPE,
  architectures: ["LlamaForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "HuggingFaceTB/SmolLM2-135M",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
