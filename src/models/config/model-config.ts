/**
 * A model's config.json and generation_config.json. Each family has one file in `config/`; this one knows which
 * family a file belongs to. The element type (`torch_dtype`, `dtype`) is not read: the checkpoint says it of each
 * tensor. Keys that no code here reads are ignored, as transformers does.
 */
import { join } from "node:path";
import { nearestName } from "../../base/nearest-name.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";
import { parseGenerationConfig, type GenerationConfig } from "./generation.ts";
import { invalidConfig, unsupportedConfig, type ConfigFile } from "./schema.ts";
import { readCodeGenConfig, type CodeGenConfig } from "./codegen.ts";
import {
  readBartConfig,
  readBlenderbotConfig,
  readBlenderbotSmallConfig,
  type EncoderDecoderConfig,
} from "./encoder-decoder.ts";
import { readGpt2Config, type Gpt2Config } from "./gpt2.ts";
import { readGptNeoConfig, type GptNeoConfig } from "./gpt-neo.ts";
import { readLlamaConfig, type LlamaConfig } from "./llama.ts";
import { readSmolLM3Config, type SmolLM3Config } from "./smollm3.ts";

export type { GenerationConfig } from "./generation.ts";
export type { SmolLM3Config } from "./smollm3.ts";

/** Discriminated by `family`. */
export type ModelConfig =
  CodeGenConfig | EncoderDecoderConfig | Gpt2Config | GptNeoConfig | LlamaConfig | SmolLM3Config;

export const CONFIG_FILE = "config.json";
export const GENERATION_CONFIG_FILE = "generation_config.json";

interface Family {
  /** `model_type` in config.json. */
  modelType: string;
  /** The entries of `architectures` that this family runs: those with an LM head, or whose head is their embeddings. */
  architectures: readonly string[];
  read: (file: ConfigFile) => ModelConfig;
}

const FAMILIES: readonly Family[] = [
  { modelType: "bart", architectures: ["BartForConditionalGeneration", "BartModel"], read: readBartConfig },
  {
    modelType: "blenderbot",
    architectures: ["BlenderbotForConditionalGeneration"],
    read: readBlenderbotConfig,
  },
  {
    modelType: "blenderbot-small",
    architectures: ["BlenderbotSmallForConditionalGeneration"],
    read: readBlenderbotSmallConfig,
  },
  { modelType: "codegen", architectures: ["CodeGenForCausalLM"], read: readCodeGenConfig },
  { modelType: "gpt2", architectures: ["GPT2LMHeadModel"], read: readGpt2Config },
  { modelType: "gpt_neo", architectures: ["GPTNeoForCausalLM"], read: readGptNeoConfig },
  { modelType: "llama", architectures: ["LlamaForCausalLM"], read: readLlamaConfig },
  { modelType: "smollm3", architectures: ["SmolLM3ForCausalLM"], read: readSmolLM3Config },
];

/**
 * Reads config.json of a model directory. Throws "not-found" without one, "invalid-config" for wrong values and
 * "unsupported" for models, or features of them, that this program does not run.
 */
export async function readModelConfig(directory: string): Promise<ModelConfig> {
  const path = join(directory, CONFIG_FILE);
  if (!(await isFile(path))) {
    throw new ModelComposeError("not-found", `No ${CONFIG_FILE} in "${directory}".`, {
      remedy: "Name a directory that holds a model: config.json and its safetensors files.",
    });
  }
  const file = await readConfigFile(path);
  const family = familyOf(file);
  refuseQuantization(file);
  return family.read(file);
}

/** Reads generation_config.json of a model directory; nothing in it without one. Throws "invalid-config" for wrong values. */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
  const path = join(directory, GENERATION_CONFIG_FILE);
  return (await isFile(path)) ? parseGenerationConfig(await readConfigFile(path)) : { settings: {} };
}

async function readConfigFile(path: string): Promise<ConfigFile> {
  const values = await readJsonObject(path, "invalid-config", "Correct the file, or fetch it again.");
  return { path, values };
}

function familyOf(file: ConfigFile): Family {
  const { model_type: modelType, architectures } = file.values;
  if (modelType === undefined || modelType === null) {
    throw invalidConfig(file, `no "model_type"; expected one of ${supportedTypes()}.`);
  }
  if (typeof modelType !== "string") {
    throw invalidConfig(file, `"model_type" is ${describeJson(modelType)}; expected a string.`);
  }
  const family = FAMILIES.find((candidate) => candidate.modelType === modelType);
  if (family === undefined) {
    const near = nearestName(
      modelType,
      FAMILIES.map((candidate) => candidate.modelType),
    );
    throw unsupportedConfig(
      file,
      `model_type "${modelType}" is not supported${near === undefined ? "" : ` (did you mean "${near}"?)`}; ` +
        `supported: ${supportedTypes()}.`,
      "Use a model of one of these families.",
    );
  }
  if (architectures === undefined || architectures === null) {
    return family;
  }
  if (!Array.isArray(architectures) || architectures.some((name) => typeof name !== "string")) {
    throw invalidConfig(
      file,
      `"architectures" is ${describeJson(architectures)}; expected a list of strings.`,
    );
  }
  const names = architectures as string[];
  if (names.length > 0 && !names.some((name) => family.architectures.includes(name))) {
    throw unsupportedConfig(
      file,
      `architecture ${names.map((name) => `"${name}"`).join(", ")} is not supported for model_type ` +
        `"${modelType}"; supported: ${family.architectures.join(", ")}.`,
      "Use a model made for text generation.",
    );
  }
  return family;
}

function supportedTypes(): string {
  return FAMILIES.map(({ modelType }) => modelType).join(", ");
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
