/** Llama's config.json (transformers: models/llama/configuration_llama.py, whose defaults these are). */
import { decoderSchema, readLlamaDecoder, type LlamaDecoderConfig } from "./llama-decoder.ts";
import { parseConfig, withDefaults, type ConfigFile } from "./schema.ts";

export interface LlamaConfig extends LlamaDecoderConfig {
  family: "llama";
}

const DEFAULT_THETA = 10_000;

/** Throws "invalid-config" for wrong values and "unsupported" for what Llama could have but this program has not. */
export function readLlamaConfig(given: ConfigFile): LlamaConfig {
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, decoderSchema);
  const usesRope = Array<boolean>(values.num_hidden_layers).fill(true);
  return { family: "llama", ...readLlamaDecoder(file, values, { usesRope, defaultTheta: DEFAULT_THETA }) };
}
