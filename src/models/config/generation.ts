/** generation_config.json: the defaults that a model's authors recommend. */
import { z } from "zod";
import type { JsonObject } from "../../runtime/json.ts";
import { parseConfig, tokenId, tokenIds, type ConfigFile } from "./schema.ts";

export interface GenerationConfig {
  bosTokenId?: number;
  eosTokenIds?: number[];
  padTokenId?: number;
  /** The file as it is: sampling parameters are checked where they are resolved (runtime/sampling-options.ts). */
  settings: JsonObject;
}

/** Keys of transformers that are not here are ignored: files in the wild carry many. null means absent. */
const schema = z.object({
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds.nullish(),
  pad_token_id: z.int().min(-1).nullish(),
});

export function parseGenerationConfig(file: ConfigFile): GenerationConfig {
  const values = parseConfig(file, schema);
  return {
    bosTokenId: values.bos_token_id ?? undefined,
    eosTokenIds: values.eos_token_id ?? undefined,
    padTokenId: values.pad_token_id === -1 ? undefined : (values.pad_token_id ?? undefined),
    settings: file.values,
  };
}
