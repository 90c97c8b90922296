/**
 * Command R (Cohere 2024) and Command R7B and Aya Expanse's successors ("cohere2", 2024): Llama with attention and MLP side by
 * side, LayerNorm without bias, pairs of neighbouring channels that are rotated, and a factor of the logits. In Cohere 2 three
 * layers of four have a window, and the fourth no positions. Their configurations are transformers'
 * models/cohere/configuration_cohere.py and models/cohere2/configuration_cohere2.py, whose defaults these are.
 */
import { z } from "zod";
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import {
  count,
  epsilon,
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

const [FIRST, SECOND] = ["cohere", "cohere2"];
const DEFAULTS = {
  bos_token_id: 5,
  eos_token_id: 255_001,
  pad_token_id: 0,
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};

// The classes know no "head_dim" and no "mlp_bias": what a file says of them has no effect.
const schema = llamaDecoderSchema.omit({ head_dim: true, mlp_bias: true, rms_norm_eps: true }).extend({
  layer_norm_eps: epsilon.default(1e-5),
  /** Published factors lie between 0.0625 and 0.8. */
  logit_scale: z.number().min(1e-4).max(1e4).default(0.0625),
  use_qk_norm: z.boolean().nullish(),
});
const secondSchema = schema.extend({ ...windowKeys, sliding_window_pattern: count.default(4) });

function readCommon(
  file: ConfigFile,
  values: z.output<typeof schema>,
  options: { defaultTheta: number; usesRope?: boolean[] },
): LlamaDecoderConfig {
  const common = { ...values, mlp_bias: false, rms_norm_eps: values.layer_norm_eps };
  return {
    ...readLlamaDecoder(file, common, options),
    normKind: "layer",
    norms: { attention: { before: "input_layernorm" }, mlp: {} },
    isParallel: true,
    isInterleaved: true,
    logitsScale: values.logit_scale,
  };
}

function readFirst(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, DEFAULTS);
  const values = parseConfig(file, schema);
  if (values.use_qk_norm === true) {
    throw unsupportedConfig(
      file,
      '"use_qk_norm" is true; norms whose weights differ from head to head are not supported.',
      "Use a model of this family without them.",
    );
  }
  return readCommon(file, values, { defaultTheta: 500_000 });
}

function readSecond(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, { ...DEFAULTS, sliding_window: 4096 });
  const values = parseConfig(file, secondSchema);
  const windows = readWindows(file, {
    layers: values.num_hidden_layers,
    types: values.layer_types,
    window: values.sliding_window,
    slides: (layer) => (layer + 1) % values.sliding_window_pattern !== 0,
  });
  const usesRope = windows.map((window) => window !== undefined);
  return { ...readCommon(file, values, { defaultTheta: 10_000, usesRope }), windows };
}

export const cohere = defineFamily({
  type: FIRST,
  architectures: ["CohereForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["CohereLabs/aya-expanse-8b", "CohereLabs/aya-23-8B", "CohereLabs/c4ai-command-r-v01"],
  readConfig: readFirst,
  buildProgram: (config, separate) => buildLlamaDecoder(FIRST, config, separate),
});

export const cohere2 = defineFamily({
  type: SECOND,
  architectures: ["Cohere2ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: ["CohereLabs/c4ai-command-r7b-12-2024", "CohereLabs/c4ai-command-a-03-2025"],
  readConfig: readSecond,
  buildProgram: (config, separate) => buildLlamaDecoder(SECOND, config, separate),
});
