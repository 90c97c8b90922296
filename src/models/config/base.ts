/** What the configuration of every family has: vocabulary, special tokens and old files' settings of generation. */
import { z } from "zod";
import { parseGenerationConfig, type GenerationConfig } from "./generation.ts";
import { notice, tokenIdOrNone, tokenIds, vocabularySize, type ConfigFile } from "./schema.ts";

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
  /** Whether the file itself says that matrices are apart which its class ties. */
  isUntied?: boolean;
  /**
   * What config.json says of generation, as generation_config.json would: files from before that one existed carry
   * num_beams, min_length, forced tokens and the like. It rules where a model has no generation_config.json.
   */
  generationDefaults: GenerationConfig;
}

/** The part of config.json that the schema of every family extends. */
export const baseSchema = z.object({
  vocab_size: vocabularySize,
  bos_token_id: tokenIdOrNone.nullish(),
  eos_token_id: tokenIds.nullish(),
  pad_token_id: tokenIdOrNone.nullish(),
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
 * The vocabulary, special tokens and settings of generation from the values of a config.json. A special token beyond the
 * vocabulary is none: no text has it, and the model cannot write it.
 *
 * @param file the same config.json with every key
 * @throws ModelComposeError "invalid-config" for settings of generation that have wrong types
 */
export function readBase(
  file: ConfigFile,
  values: z.output<typeof baseSchema>,
): Omit<BaseConfig, "maxPositions" | "layers"> {
  const { vocab_size: vocabSize } = values;
  const within = (key: string, ids: readonly (number | null | undefined)[]): number[] => {
    const named = ids.filter((id) => typeof id === "number" && id >= 0) as number[];
    const outside = named.filter((id) => id >= vocabSize);
    // What only the class has by default is nobody's mistake.
    if (outside.length > 0 && file.defaults?.has(key) !== true) {
      notice(
        file,
        `"${key}" has ${outside.join(", ")}, which is beyond the vocabulary of ${vocabSize} and has no effect.`,
      );
    }
    return named.filter((id) => id < vocabSize);
  };
  const [bosTokenId] = within("bos_token_id", [values.bos_token_id]);
  const eosTokenIds = within("eos_token_id", values.eos_token_id ?? []);
  const [padTokenId] = within("pad_token_id", [values.pad_token_id]);
  return { vocabSize, bosTokenId, eosTokenIds, padTokenId, generationDefaults: readGenerationDefaults(file) };
}

function readGenerationDefaults(file: ConfigFile): GenerationConfig {
  const settings = Object.entries(file.values).filter(
    ([key, value]) => GENERATION_KEYS.has(key) && value !== null,
  );
  return parseGenerationConfig({ ...file, values: Object.fromEntries(settings) });
}
