/**
 * EXAONE 4.0 (LG AI Research 2025, https://arxiv.org/abs/2507.11407): Llama with norms behind attention and MLP instead of before
 * them, and of queries and keys, head by head. Where some layers have a window, the others have no positions. Its
 * configuration is transformers' models/exaone4/configuration_exaone4.py, whose defaults these are.
 */
import { z } from "zod";
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "exaone4";
const DEFAULT_THETA = 10_000;

// The class knows no biases: what a file says of them has no effect.
const schema = llamaDecoderSchema.omit({ attention_bias: true, mlp_bias: true }).extend({
  ...windowKeys,
  /** Every how many layers one has no window; or the kinds in turn, "LLLG", beside which files have `layer_types`. */
  sliding_window_pattern: z.union([z.int().min(0).max(4096), z.string()]).nullish(),
});

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    bos_token_id: 0,
    eos_token_id: 2,
    num_key_value_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    sliding_window: 4096,
    sliding_window_pattern: 4,
  });
  const values = parseConfig(file, schema);
  const { sliding_window: window, sliding_window_pattern: pattern } = values;
  const windows = readWindows(file, {
    layers: values.num_hidden_layers,
    types: values.layer_types,
    window,
    slides: (layer) => typeof window === "number" && slidesBy(pattern, layer),
  });
  const usesRope = windows.map((own) => typeof window !== "number" || own !== undefined);
  const biases = { attention_bias: false, mlp_bias: false };
  const options = { defaultTheta: DEFAULT_THETA, usesRope };
  return {
    ...readLlamaDecoder(file, { ...values, ...biases }, options),
    windows,
    queryKeyNorm: "heads",
    norms: {
      attention: { after: "post_attention_layernorm" },
      mlp: { after: "post_feedforward_layernorm" },
    },
  };
}

function slidesBy(pattern: string | number | null | undefined, layer: number): boolean {
  return typeof pattern === "string"
    ? pattern[layer % pattern.length] === "L"
    : typeof pattern === "number" && pattern > 0 && (layer + 1) % pattern !== 0;
}

export const exaone4 = defineFamily({
  type: TYPE,
  architectures: ["Exaone4ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["LGAI-EXAONE/EXAONE-4.0-1.2B", "LGAI-EXAONE/EXAONE-4.0-32B", "LGAI-EXAONE/EXAONE-4.0.1-32B"],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
