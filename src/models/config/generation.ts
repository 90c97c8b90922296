/** generation_config.json: the defaults that a model's authors recommend. */
import { z } from "zod";
import type { SamplingOptions } from "../../runtime/generation-types.ts";
import { count, parseConfig, size, tokenId, tokenIds, type ConfigFile } from "./schema.ts";

/** Only what the file says; ranges are those of SamplingOptions. */
export interface GenerationConfig extends Omit<SamplingOptions, "seed"> {
  bosTokenId?: number;
  eosTokenIds?: number[];
  padTokenId?: number;
  maxNewTokens?: number;
  minNewTokens?: number;
  /** Prompt and new tokens together. */
  maxLength?: number;
  /** Prompt and new tokens together. */
  minLength?: number;
  numBeams?: number;
}

/** Keys of transformers that are not here are ignored: files in the wild carry many. null means absent. */
const schema = z.object({
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds.nullish(),
  pad_token_id: z.int().min(-1).nullish(),
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  no_repeat_ngram_size: z.int().min(0).nullish(),
  max_new_tokens: size.nullish(),
  min_new_tokens: z.int().min(0).nullish(),
  max_length: size.nullish(),
  min_length: z.int().min(0).nullish(),
  num_beams: count.nullish(),
});

export function parseGenerationConfig(file: ConfigFile): GenerationConfig {
  const values = parseConfig(file, schema);
  const config: GenerationConfig = {
    bosTokenId: values.bos_token_id ?? undefined,
    eosTokenIds: values.eos_token_id ?? undefined,
    padTokenId: values.pad_token_id === -1 ? undefined : (values.pad_token_id ?? undefined),
    doSample: values.do_sample ?? undefined,
    temperature: values.temperature ?? undefined,
    topK: values.top_k ?? undefined,
    topP: values.top_p ?? undefined,
    minP: values.min_p ?? undefined,
    repetitionPenalty: values.repetition_penalty ?? undefined,
    noRepeatNgramSize: values.no_repeat_ngram_size ?? undefined,
    maxNewTokens: values.max_new_tokens ?? undefined,
    minNewTokens: values.min_new_tokens ?? undefined,
    maxLength: values.max_length ?? undefined,
    minLength: values.min_length ?? undefined,
    numBeams: values.num_beams ?? undefined,
  };
  // Absent keys stay absent, so that spreading this over defaults keeps the defaults.
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}
