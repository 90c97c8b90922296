/** What the configuration of every family has: vocabulary, special tokens and old files' settings of generation. */
import { z } from "zod";
import { parseGenerationConfig, type GenerationConfig } from "./generation.ts";
import { type ConfigFile, invalidConfig, size, tokenId, tokenIds } from "./schema.ts";

/** The configuration that models of every family have. */
export interface BaseConfig {
  vocabSize: number;
  /** Most tokens of a sequence; of an encoder–decoder, of the encoder's input and of the decoder's output each. */
  maxPositions: number;
  /** Number of layers; of an encoder–decoder, of the decoder. */
  layers: number;
  bosTokenId?: number;
  /** Tokens that end a text; empty when the file names none. */
  eosTokenIds: number[];
  padTokenId?: number;
  /**
   * What config.json says of generation, as generation_config.json would: files from before that one existed carry
   * num_beams, min_length, forced tokens and the like. It rules where a model has no generation_config.json.
   */
  generationDefaults: GenerationConfig;
}

/** The part of config.json that the schema of every family extends. */
export const baseSchema = z.object({
  vocab_size: size,
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds.nullish(),
  // -1 is how some tools write "none".
  pad_token_id: z.int().min(-1).nullish(),
});

/** Keys of transformers' GenerationConfig that a config.json may carry and that change a text. */
const GENERATION_KEYS: ReadonlySet<string> = new Set([
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
  "decoder_start_token_id",
  "forced_bos_token_id",
  "forced_eos_token_id",
  "suppress_tokens",
  "begin_suppress_tokens",
  "bad_words_ids",
  "max_length",
  "max_new_tokens",
  "min_length",
  "min_new_tokens",
  "do_sample",
  "temperature",
  "top_k",
  "top_p",
  "min_p",
  "typical_p",
  "epsilon_cutoff",
  "eta_cutoff",
  "repetition_penalty",
  "encoder_repetition_penalty",
  "no_repeat_ngram_size",
  "encoder_no_repeat_ngram_size",
  "num_beams",
  "num_beam_groups",
  "diversity_penalty",
  "length_penalty",
  "early_stopping",
  "num_return_sequences",
  "exponential_decay_length_penalty",
  "remove_invalid_values",
  "renormalize_logits",
]);

/**
 * The vocabulary, special tokens and settings of generation from the values of a config.json.
 *
 * @param file the same config.json with every key
 * @throws ModelComposeError "invalid-config" for a special token outside the vocabulary
 */
export function readBase(
  file: ConfigFile,
  values: z.output<typeof baseSchema>,
): Omit<BaseConfig, "maxPositions" | "layers"> {
  const { vocab_size: vocabSize } = values;
  const bosTokenId = values.bos_token_id ?? undefined;
  const eosTokenIds = values.eos_token_id ?? [];
  const padTokenId = values.pad_token_id === -1 ? undefined : (values.pad_token_id ?? undefined);
  const named: [string, readonly (number | undefined)[]][] = [
    ["bos_token_id", [bosTokenId]],
    ["eos_token_id", eosTokenIds],
    ["pad_token_id", [padTokenId]],
  ];
  for (const [key, ids] of named) {
    const outside = ids.find((id) => id !== undefined && id >= vocabSize);
    if (outside !== undefined) {
      throw invalidConfig(file, `"${key}" has ${outside}; expected less than "vocab_size", ${vocabSize}.`);
    }
  }
  return { vocabSize, bosTokenId, eosTokenIds, padTokenId, generationDefaults: readGenerationDefaults(file) };
}

function readGenerationDefaults(file: ConfigFile): GenerationConfig {
  const settings = Object.entries(file.values).filter(
    ([key, value]) => GENERATION_KEYS.has(key) && value !== null,
  );
  return parseGenerationConfig({ ...file, values: Object.fromEntries(settings) });
}
