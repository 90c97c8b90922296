/** A model's folder, opened but not loaded: configuration, forward pass and checked weight files. */
import { openCheckpoint, withBasePrefix, type Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import { ModelComposeError } from "../base/errors.ts";
import type { Program } from "../runtime/program.ts";
import type { BaseConfig } from "./config/base.ts";
import { describeModel } from "./describe-model.ts";

/** A model's configuration, forward pass and weight files. */
export interface OpenModel {
  config: BaseConfig;
  program: Program;
  /** The weight files, which find tensors by the Program's names, however they spell the base model's prefix. */
  checkpoint: Checkpoint;
}

/**
 * Opens the model of a folder.
 *
 * @throws ModelComposeError "not-found", "invalid-config", "invalid-checkpoint", "unsupported"
 */
export async function openModel(directory: string): Promise<OpenModel> {
  const [{ family, config, program }, checkpoint] = await Promise.all([
    describeModel(directory),
    openCheckpoint(directory),
  ]);
  refuseQuantizedTensors(checkpoint);
  return {
    config,
    program,
    checkpoint: withBasePrefix(checkpoint, family.basePrefix),
  };
}

/** Names of what packed weights come with: GPTQ, AWQ, MLX, bitsandbytes, compressed-tensors, DeepSeek's FP8. */
const PACKED =
  /\.(qweight|qzeros|scales|biases|g_idx|SCB|weight_packed|weight_scale|weight_scale_inv|weight\.absmax|weight\.quant_map)$/;

/**
 * Refuses weights that are packed, whatever config.json says of them.
 *
 * @throws ModelComposeError "unsupported"
 */
function refuseQuantizedTensors({ tensors, directory }: Checkpoint): void {
  const packed = [...tensors.keys()].find((name) => PACKED.test(name));
  if (packed !== undefined) {
    throw new ModelComposeError(
      "unsupported",
      `The weights in "${directory}" are quantized (the tensor "${packed}"), which is not supported.`,
      { remedy: "Use the original model, with weights in bf16, f16 or f32." },
    );
  }
}
