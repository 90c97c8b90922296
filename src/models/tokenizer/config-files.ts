/** The small files beside a tokenizer, read as they are. */
import { join } from "node:path";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";
import type { ConfigFile } from "../config/schema.ts";
import { CONFIG_FILE, SPECIAL_TOKENS_FILE, TOKENIZER_CONFIG_FILE } from "../model-files.ts";

/** The small files of a folder. One that is not there has no values. */
export interface ConfigFiles {
  tokenizer: ConfigFile;
  specialTokens: ConfigFile;
  /** The model's config.json. */
  model: ConfigFile;
}

/**
 * Reads the small files of a model's folder.
 *
 * @throws ModelComposeError `invalid-config` for a file that is not a JSON object.
 */
export async function readConfigFiles(directory: string): Promise<ConfigFiles> {
  return {
    tokenizer: await readConfigFile(join(directory, TOKENIZER_CONFIG_FILE)),
    specialTokens: await readConfigFile(join(directory, SPECIAL_TOKENS_FILE)),
    model: await readConfigFile(join(directory, CONFIG_FILE)),
  };
}

async function readConfigFile(path: string): Promise<ConfigFile> {
  if (!(await isFile(path))) {
    return { path, values: {} };
  }
  return {
    path,
    values: await readJsonObject(path, "config", {
      code: "invalid-config",
      remedy: "Fetch the file again, or remove it.",
    }),
  };
}
