/** generation_config.json: the defaults that a model's authors recommend. */
import { join } from "node:path";
import { z } from "zod";
import { ModelComposeError } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";
import { isFile } from "../../runtime/platform/files.ts";
import { GENERATION_CONFIG_FILE } from "../model-files.ts";
import { parseConfig, readConfigFile, tokenIdOrNone, tokenIds, type ConfigFile } from "./schema.ts";

/** The settings of a generation_config.json, of which special tokens are read here. */
export interface GenerationConfig {
  bosTokenId?: number;
  eosTokenIds?: number[];
  padTokenId?: number;
  decoderStartTokenId?: number;
  /** The file as it is: sampling parameters are checked where they are resolved (runtime/sampling/options.ts). */
  settings: JsonObject;
}

/** The special tokens; other keys are not looked at here, of which files in the wild carry many. null means absent. */
const schema = z.object({
  bos_token_id: tokenIdOrNone.nullish(),
  eos_token_id: tokenIds.nullish(),
  pad_token_id: tokenIdOrNone.nullish(),
  decoder_start_token_id: tokenIdOrNone.nullish(),
});

/**
 * Reads generation_config.json of a model's folder; a folder without one has no settings.
 *
 * @throws ModelComposeError "invalid-config" for wrong values
 */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
  const path = join(directory, GENERATION_CONFIG_FILE);
  return (await isFile(path)) ? parseGenerationConfig(await readConfigFile(path)) : { settings: {} };
}

/** The settings of a file. @throws ModelComposeError "invalid-config" for wrong values */
export function parseGenerationConfig(file: ConfigFile): GenerationConfig {
  const values = parseConfig(file, schema);
  return {
    bosTokenId: idOf(values.bos_token_id),
    eosTokenIds: values.eos_token_id ?? undefined,
    padTokenId: idOf(values.pad_token_id),
    decoderStartTokenId: idOf(values.decoder_start_token_id),
    settings: file.values,
  };
}

function idOf(value: number | null | undefined): number | undefined {
  return value === null || value === -1 ? undefined : value;
}

/**
 * The end tokens that a model can write.
 *
 * @param onNotice hears of those beyond the vocabulary
 */
export function endTokens(
  { eosTokenIds = [] }: GenerationConfig,
  vocabSize: number,
  onNotice?: (line: string) => void,
): number[] {
  const outside = eosTokenIds.filter((id) => id >= vocabSize);
  if (outside.length > 0) {
    onNotice?.(
      `"eos_token_id" has ${outside.join(", ")}, which is beyond the vocabulary of ${vocabSize} and has no effect.`,
    );
  }
  return eosTokenIds.filter((id) => id < vocabSize);
}

/**
 * What governs a model's generation: generation_config.json, or without one what config.json says. Special tokens that
 * the one does not name are the other's, each by itself.
 */
export function mergeGenerationConfigs(own: GenerationConfig, ofModel: GenerationConfig): GenerationConfig {
  const isAbsent = Object.keys(own.settings).length === 0;
  return {
    bosTokenId: own.bosTokenId ?? ofModel.bosTokenId,
    eosTokenIds: own.eosTokenIds ?? ofModel.eosTokenIds,
    padTokenId: own.padTokenId ?? ofModel.padTokenId,
    decoderStartTokenId: own.decoderStartTokenId ?? ofModel.decoderStartTokenId,
    settings: isAbsent ? ofModel.settings : own.settings,
  };
}

/**
 * The token that the decoder of an encoder–decoder begins with: decoder_start_token_id, else bos_token_id.
 *
 * @throws ModelComposeError "invalid-config" when there is neither, or it is outside the vocabulary
 */
export function decoderStartToken(
  generation: GenerationConfig,
  vocabSize: number,
  directory: string,
): number {
  const token = generation.decoderStartTokenId ?? generation.bosTokenId;
  if (token !== undefined && token < vocabSize) {
    return token;
  }
  const found = token === undefined ? "no decoder_start_token_id" : `decoder_start_token_id ${token}`;
  throw new ModelComposeError(
    "invalid-config",
    `The configuration of the encoder–decoder in "${directory}" has ${found}; expected an id from 0 to ${vocabSize - 1}.`,
    { remedy: "Add it to config.json or generation_config.json, or fetch the files again." },
  );
}
