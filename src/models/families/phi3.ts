/**
 * Phi-3 and Phi-4-mini (Abdin et al. 2024, https://arxiv.org/abs/2404.14219): Llama whose checkpoints have query, key and
 * value as one tensor, gate and up as another; a part of a head may be rotated, by LongRoPE's frequencies. Its
 * configuration is transformers' models/phi3/configuration_phi3.py, whose defaults these are.
 */
import { isJsonObject } from "../../base/json.ts";
import { windowKeys } from "../config/attention-windows.ts";
import { invalidConfig, notice, parseConfig, withDefaults, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildLlamaDecoder,
  LLAMA_TIED,
  llamaDecoderSchema,
  readLlamaDecoder,
  type LlamaDecoderConfig,
} from "./shared/llama-decoder.ts";

const TYPE = "phi3";
const DEFAULT_THETA = 10_000;
const ROPE = { types: ["default", "longrope"], isPartial: true } as const;

// The class knows no biases and one kind of layer: what a file says of others has no effect.
const schema = llamaDecoderSchema
  .omit({ attention_bias: true, mlp_bias: true })
  .extend({ sliding_window: windowKeys.sliding_window });

function readConfig(given: ConfigFile): LlamaDecoderConfig {
  const file = withDefaults(withLongRopeName(given), {
    bos_token_id: 1,
    eos_token_id: 32_000,
    pad_token_id: 32_000,
    max_position_embeddings: 4096,
    original_max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  });
  const values = parseConfig(file, schema);
  const biases = { attention_bias: false, mlp_bias: false };
  const options = { defaultTheta: DEFAULT_THETA, ropeKinds: ROPE };
  const config = readLlamaDecoder(file, { ...values, ...biases }, options);
  return {
    ...config,
    maxPositions: readMaxPositions(file, config),
    fused: ["self_attn", "mlp"],
    windows: Array.from({ length: config.layers }, () => values.sliding_window ?? undefined),
  };
}

/** Files from before transformers called it so have "su" or "yarn" for LongRoPE. */
function withLongRopeName(file: ConfigFile): ConfigFile {
  const values = { ...file.values };
  for (const key of ["rope_scaling", "rope_parameters"]) {
    const rope = values[key];
    if (isJsonObject(rope)) {
      const entries = Object.entries(rope).map(([name, value]) => {
        const isOld = (name === "type" || name === "rope_type") && (value === "su" || value === "yarn");
        return [name, isOld ? "longrope" : value];
      });
      values[key] = Object.fromEntries(entries);
    }
  }
  return { ...file, values };
}

function readMaxPositions(
  file: ConfigFile,
  { rope, rotaryDim = 0, maxPositions }: LlamaDecoderConfig,
): number {
  if (rope.type !== "longrope") {
    return maxPositions;
  }
  const { shortFactors, originalMaxPositions } = rope;
  if (shortFactors.length !== rotaryDim / 2) {
    throw invalidConfig(
      file,
      `"short_factor" has ${shortFactors.length} entries; expected ${rotaryDim / 2}, one for each pair of channels.`,
    );
  }
  if (originalMaxPositions < maxPositions) {
    notice(
      file,
      `RoPE type "longrope" has other frequencies beyond "original_max_position_embeddings"; a context has ` +
        `${originalMaxPositions} positions at most, of the ${maxPositions} of "max_position_embeddings".`,
    );
  }
  return Math.min(originalMaxPositions, maxPositions);
}

export const phi3 = defineFamily({
  type: TYPE,
  architectures: ["Phi3ForCausalLM"],
  basePrefix: "model.",
  tied: LLAMA_TIED,
  published: [
    "microsoft/Phi-4-mini-instruct",
    "microsoft/Phi-3-mini-4k-instruct",
    "microsoft/Phi-3.5-mini-instruct",
    "microsoft/Phi-3-mini-128k-instruct",
    "microsoft/Phi-3-medium-4k-instruct",
    "microsoft/phi-4",
  ],
  readConfig,
  buildProgram: (config, separate) => buildLlamaDecoder(TYPE, config, separate),
});
