/**
 * Tells what a model is, by the config.json of its folder: its family, its configuration and its forward pass. The
 * element type (`torch_dtype`, `dtype`) is not read: the checkpoint says it of each tensor. Keys that no code here reads
 * are ignored, as in transformers.
 */
import { join } from "node:path";
import { ModelComposeError } from "../base/errors.ts";
import { describeJson, isJsonObject } from "../base/json.ts";
import { isFile, listDirectory } from "../runtime/platform/files.ts";
import { ggufError } from "./hub/repository.ts";
import { readConfigFile, unsupportedConfig, type ConfigFile } from "./config/schema.ts";
import type { Family, FamilyModel } from "./families/family.ts";
import { familyOf } from "./families/table.ts";
import { CONFIG_FILE, QUANTIZATION_FILES } from "./model-files.ts";

export interface ModelDescription extends FamilyModel {
  readonly family: Family;
  /** What people should know of config.json, in sentences. */
  readonly notices: readonly string[];
}

/**
 * Reads config.json of a model's folder.
 *
 * @throws ModelComposeError "not-found" without it, "invalid-config" for wrong values, "unsupported" for models, or
 *   features of them, that this program does not run
 */
export async function describeModel(directory: string): Promise<ModelDescription> {
  const path = join(directory, CONFIG_FILE);
  if (!(await isFile(path))) {
    const gguf = (await listDirectory(directory)).find((name) => /\.gguf$/i.test(name));
    throw gguf === undefined
      ? new ModelComposeError("not-found", `No ${CONFIG_FILE} in "${directory}".`, {
          remedy: "Name a directory that holds a model: config.json and its safetensors files.",
        })
      : ggufError(`No ${CONFIG_FILE} in "${directory}", only ${gguf}`);
  }
  const file = await readConfigFile(path);
  const family = familyOf(file);
  await refuseQuantization(file, directory, family);
  return { family, ...family.describe(file), notices: file.notices ?? [] };
}

/** Refuses weights that are quantised by the keys, or the file, by which one of the tools says so. */
async function refuseQuantization(
  file: ConfigFile,
  directory: string,
  { quantizations = [] }: Family,
): Promise<void> {
  const remedy = "Use the original model, with weights in bf16, f16 or f32.";
  // transformers and its tools write the first key, MLX the second.
  for (const key of ["quantization_config", "quantization"]) {
    const quantization = file.values[key];
    if (isJsonObject(quantization)) {
      const { quant_method: method, bits } = quantization;
      if (typeof method === "string" && quantizations.includes(method)) {
        continue;
      }
      const how = method === undefined ? `${describeJson(bits)} bits` : `method ${describeJson(method)}`;
      throw unsupportedConfig(
        file,
        `the weights are quantized (${key}, ${how}), which is not supported.`,
        remedy,
      );
    }
  }
  for (const name of QUANTIZATION_FILES) {
    if (await isFile(join(directory, name))) {
      throw unsupportedConfig(
        file,
        `the weights are quantized (${name} is there), which is not supported.`,
        remedy,
      );
    }
  }
}
