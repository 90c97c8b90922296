/** The small files beside a tokenizer, read as they are. */
import { join } from "node:path";
import type { JsonObject } from "../../base/json.ts";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";

/** A file that is not there has no values. */
export interface ConfigFiles {
  tokenizer: ConfigFile;
  specialTokens: ConfigFile;
  /** config.json: of the model. */
  model: ConfigFile;
}

export interface ConfigFile {
  path: string;
  values: JsonObject;
}

/** @throws ModelComposeError `invalid-config` for a file that is not a JSON object. */
export async function readConfigFiles(directory: string): Promise<ConfigFiles> {
  return {
    tokenizer: await readConfigFile(join(directory, "tokenizer_config.json")),
    specialTokens: await readConfigFile(join(directory, "special_tokens_map.json")),
    model: await readConfigFile(join(directory, "config.json")),
  };
}

async function readConfigFile(path: string): Promise<ConfigFile> {
  if (!(await isFile(path))) {
    return { path, values: {} };
  }
  return {
    path,
    values: await readJsonObject(path, "invalid-config", "Fetch the file again, or remove it."),
  };
}
