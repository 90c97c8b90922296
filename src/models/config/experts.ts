/** Mixtures of experts, as config.json says it of a decoder's MLPs. */
import type { GateClamp } from "../../runtime/program.ts";
import { invalidConfig, unsupportedConfig, type ConfigFile } from "./schema.ts";

/** The experts of an MLP, of which every token has some. */
export interface ExpertsConfig {
  count: number;
  /** How many a token has. */
  chosen: number;
  /** Whether the weights of the chosen ones add up to 1; else they are their part of the softmax over all. */
  normalize: boolean;
  intermediateSize: number;
  /** Whether the MLP of a layer is a mixture, one a layer. */
  layers: readonly boolean[];
  /** Whether experts, and what chooses them, have biases. Default: they have none. */
  hasBias?: boolean;
  /** How gates are clamped; absent: they are not. */
  clamp?: GateClamp;
}

/** What files call experts that every token has besides the chosen ones. */
const SHARED = ["shared_expert_intermediate_size", "n_shared_experts", "num_shared_experts"] as const;

/**
 * Checks what a file says of its experts.
 *
 * @param key the key that `count` comes from, for errors
 * @throws ModelComposeError "invalid-config" when a token has more experts than there are, "unsupported" for shared experts
 */
export function readExperts(file: ConfigFile, key: string, experts: ExpertsConfig): ExpertsConfig {
  for (const shared of SHARED) {
    const value = file.values[shared];
    if (typeof value === "number" && value > 0) {
      throw unsupportedConfig(
        file,
        `"${shared}" is ${value}; experts that every token has (shared experts) are not supported.`,
        "Use a model without shared experts, as Qwen3-30B-A3B is.",
      );
    }
  }
  if (experts.chosen > experts.count) {
    throw invalidConfig(
      file,
      `"num_experts_per_tok" is ${experts.chosen}; expected at most "${key}", ${experts.count}.`,
    );
  }
  return experts;
}
