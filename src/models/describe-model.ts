/**
 * Tells what a model is, by the config.json of its folder: its family, its configuration and its forward pass. The
 * element type (`torch_dtype`, `dtype`) is not read: the checkpoint says it of each tensor. Keys that no code here reads
 * are ignored, as in transformers.
 */
import { join } from "node:path";
import { ModelComposeError } from "../base/errors.ts";
import { describeJson, isJsonObject } from "../base/json.ts";
import { isFile } from "../runtime/platform/files.ts";
import { readConfigFile, unsupportedConfig, type ConfigFile } from "./config/schema.ts";
import type { Family, FamilyModel } from "./families/family.ts";
import { familyOf } from "./families/table.ts";
import { CONFIG_FILE } from "./model-files.ts";

export interface ModelDescription extends FamilyModel {
  readonly family: Family;
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
    throw new ModelComposeError("not-found", `No ${CONFIG_FILE} in "${directory}".`, {
      remedy: "Name a directory that holds a model: config.json and its safetensors files.",
    });
  }
  const file = await readConfigFile(path);
  const family = familyOf(file);
  refuseQuantization(file);
  return { family, ...family.describe(file) };
}

function refuseQuantization(file: ConfigFile): void {
  const quantization = file.values["quantization_config"];
  if (quantization === undefined || quantization === null) {
    return;
  }
  const method = isJsonObject(quantization) ? quantization["quant_method"] : undefined;
  throw unsupportedConfig(
    file,
    `the weights are quantized (quantization_config, method ${describeJson(method)}), which is not supported.`,
    "Use the original model, with weights in bf16, f16 or f32.",
  );
}
