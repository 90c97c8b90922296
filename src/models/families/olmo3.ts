/**
 * OLMo 3 (Team OLMo 2025, https://arxiv.org/abs/2512.13961): OLMo 2 with a window in three layers of four; the longer context
 * is the fourth's alone, and so are its frequencies. Its configuration is transformers'
 * models/olmo3/configuration_olmo3.py, whose defaults these are.
 */
import { readWindows, windowKeys } from "../config/attention-windows.ts";
import { readLayeredRope } from "../config/layered-rope.ts";
import { parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "olmo3";
const THETAS = { theta: 500_000, localTheta: 500_000 };

// The class knows no "mlp_bias": what a file says of it has no effect.
const schema = llamaDecoderSchema.omit({ mlp_bias: true }).extend(windowKeys);

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(given, {
    eos_token_id: 50_279,
    pad_token_id: 1,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    sliding_window: 4096,
  });
  const values = parseConfig(file, schema);
  const { rope, localRope } = readLayeredRope(file, THETAS);
  return {
    ...readLlamaDecoder(file, { ...values, mlp_bias: false }, { defaultTheta: THETAS.theta, rope }),
    localRope,
    queryKeyNorm: "projection",
    norms: {
      attention: { after: "post_attention_layernorm" },
      mlp: { after: "post_feedforward_layernorm" },
    },
    windows: readWindows(file, {
      layers: values.num_hidden_layers,
      types: values.layer_types,
      window: values.sliding_window,
      slides: (layer) => (layer + 1) % 4 !== 0,
    }),
  };
}

export const olmo3 = defineFamily({
  type: TYPE,
  architectures: ["Olmo3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "allenai/Olmo-3-7B-Instruct",
    "allenai/Olmo-3-7B-Think",
    "allenai/Olmo-3-1025-7B",
    "allenai/Olmo-3-1125-32B",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
