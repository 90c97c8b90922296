/**
 * Ministral 3 (Mistral AI 2025): Mistral with YaRN, whose queries are scaled beyond the positions of the context before it was
 * made longer (Llama 4's temperature). Its configuration is transformers' models/ministral3/configuration_ministral3.py,
 * whose defaults these are.
 *
 * Published models are of images and text ("mistral3"); the language model is used, which may be a Mistral too.
 */
import { z } from "zod";
import { describeJson, isJsonObject } from "../../base/json.ts";
import { windowKeys } from "../config/attention-windows.ts";
import { notice, parseConfig, unsupportedConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { readTextConfig, TEXT_MODEL_PREFIXES } from "../config/text-config.ts";
import { defineFamily } from "./family.ts";
import { mistral } from "./mistral.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TEXT = "ministral3";
const IMAGES_AND_TEXT = "mistral3";
const DEFAULT_THETA = 1_000_000;
const DEFAULT_ROPE = {
  rope_type: "yarn",
  rope_theta: DEFAULT_THETA,
  factor: 16,
  original_max_position_embeddings: 16_384,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

// The class knows no biases and one kind of layer: what a file says of others has no effect.
const schema = llamaDecoderSchema
  .omit({ attention_bias: true, mlp_bias: true })
  .extend({ sliding_window: windowKeys.sliding_window });

const temperatureSchema = z.object({ llama_4_scaling_beta: z.number().min(0).max(1e3).nullish() });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const hasRope = ["rope_parameters", "rope_scaling"].some((key) => isJsonObject(given.values[key]));
  const file = withDefaults(given, {
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 11,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 262_144,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    ...(!hasRope && { rope_parameters: DEFAULT_ROPE }),
  });
  const values = parseConfig(file, schema);
  const biases = { attention_bias: false, mlp_bias: false };
  const config = readLlamaDecoder(file, { ...values, ...biases }, { defaultTheta: DEFAULT_THETA });
  return {
    ...config,
    maxPositions: readMaxPositions(file, config),
    windows: Array.from({ length: config.layers }, () => values.sliding_window ?? undefined),
  };
}

/** The positions up to which queries are not scaled. */
function readMaxPositions(file: ConfigFile, { rope, maxPositions }: LlamaDecoderConfig): number {
  const parameters = file.values["rope_parameters"] ?? file.values["rope_scaling"];
  const { llama_4_scaling_beta: beta } = parseConfig(
    { ...file, values: isJsonObject(parameters) ? parameters : {} },
    temperatureSchema,
  );
  const original = "originalMaxPositions" in rope ? rope.originalMaxPositions : undefined;
  if (!beta || original === undefined || original >= maxPositions) {
    return maxPositions;
  }
  notice(
    file,
    `"llama_4_scaling_beta" scales queries beyond "original_max_position_embeddings"; a context has ${original} positions ` +
      `at most, of the ${maxPositions} of "max_position_embeddings".`,
  );
  return original;
}

/** The language model beside images: of this family, or a Mistral, as the first ones are. */
function readOfImages(given: ConfigFile): LlamaDecoderConfig {
  const file = readTextConfig(given);
  const { model_type: type = mistral.type } = file.values;
  if (type === TEXT) {
    return readConfig(file);
  }
  if (type === mistral.type) {
    return mistral.readConfig(file);
  }
  throw unsupportedConfig(
    file,
    `"text_config" has model_type ${describeJson(type)}; supported are "${TEXT}" and "${mistral.type}".`,
    "Use a model of this family with one of these.",
  );
}

export const ministral3 = defineFamily({
  type: TEXT,
  architectures: ["Ministral3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TEXT, config, separate),
});

export const mistral3 = defineFamily({
  type: IMAGES_AND_TEXT,
  architectures: ["Mistral3ForConditionalGeneration"],
  basePrefix: "model.",
  otherPrefixes: TEXT_MODEL_PREFIXES,
  tied: LLAMA_TIED,
  published: [
    "mistralai/Ministral-3-3B-Instruct-2512-BF16",
    "mistralai/Ministral-3-3B-Base-2512",
    "mistralai/Ministral-3-8B-Instruct-2512-BF16",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
  ],
  readConfig: readOfImages,
  buildProgram: (config, separate) => buildLlamaDecoder(IMAGES_AND_TEXT, config, separate),
});
