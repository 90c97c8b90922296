/**
 * SmolLM3 (Hugging Face, 2025): Llama in which every fourth layer has no positional embedding (NoPE, Yang et al. 2025,
 * https://arxiv.org/abs/2501.18795). Its configuration is transformers' models/smollm3/configuration_smollm3.py, whose
 * defaults these are.
 */
import { z } from "zod";
import { describeJson } from "../../base/json.ts";
import {
  count,
  invalidConfig,
  parseConfig,
  unsupportedConfig,
  withDefaults,
  type ConfigFile,
} from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "smollm3";
const DEFAULT_THETA = 2_000_000;

const schema = llamaDecoderSchema.extend({
  num_key_value_heads: count.nullable(),
  no_rope_layers: z.array(z.literal([0, 1], { error: "expected 0 or 1" })).nullish(),
  no_rope_layer_interval: count.default(4),
  layer_types: z.array(z.string()).nullish(),
  use_sliding_window: z.boolean().default(false),
});

type Values = z.output<typeof schema>;

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, { max_position_embeddings: 32_768, tie_word_embeddings: true });
  const values = parseConfig(file, schema);
  refuseUnsupported(file, values);
  return readLlamaDecoder(file, values, {
    usesRope: readUsesRope(file, values),
    defaultTheta: DEFAULT_THETA,
  });
}

function refuseUnsupported(file: ConfigFile, values: Values): void {
  if (values.use_sliding_window) {
    throw unsupportedConfig(
      file,
      `"use_sliding_window" is true; sliding-window attention is not supported for this model.`,
      "Use a model with full attention.",
    );
  }
  const types = values.layer_types;
  if (!types) {
    return;
  }
  if (types.length !== values.num_hidden_layers) {
    throw invalidConfig(
      file,
      `"layer_types" has ${types.length} entries; expected "num_hidden_layers", ${values.num_hidden_layers}.`,
    );
  }
  const other = types.findIndex((type) => type !== "full_attention");
  if (other >= 0) {
    throw unsupportedConfig(
      file,
      `"layer_types" has ${describeJson(types[other])} for layer ${other}; supported is "full_attention".`,
      "Use a model with full attention.",
    );
  }
}

function readUsesRope(file: ConfigFile, values: Values): boolean[] {
  const layers = values.num_hidden_layers;
  const given = values.no_rope_layers;
  if (!given) {
    return Array.from({ length: layers }, (_, layer) => (layer + 1) % values.no_rope_layer_interval !== 0);
  }
  if (given.length !== layers) {
    throw invalidConfig(
      file,
      `"no_rope_layers" has ${given.length} entries; expected "num_hidden_layers", ${layers}.`,
    );
  }
  // Against the key's name, 1 is a layer with RoPE.
  return given.map((flag) => flag === 1);
}

export const smollm3 = defineFamily({
  type: TYPE,
  architectures: ["SmolLM3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
