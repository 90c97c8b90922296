/** A model's folder, opened but not loaded: configuration, forward pass and checked weight files. */
import { openCheckpoint, withBasePrefix, type Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
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
  return {
    config,
    program,
    checkpoint: withBasePrefix(checkpoint, family.basePrefix),
  };
}
