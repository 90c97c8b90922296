/** A model's folder, opened but not loaded: configuration, forward pass and checked weight files. */
import { openCheckpoint, withBasePrefix, type Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import type { Program } from "../runtime/program.ts";
import { readModelConfig, type ModelConfig } from "./config/model-config.ts";
import { basePrefix, buildProgram } from "./families/registry.ts";

export interface OpenModel {
  config: ModelConfig;
  program: Program;
  /** Finds tensors by the Program's names, however the files spell the base model's prefix. */
  checkpoint: Checkpoint;
}

/** @throws ModelComposeError "not-found", "invalid-config", "invalid-checkpoint", "unsupported" */
export async function openModel(directory: string): Promise<OpenModel> {
  const [config, checkpoint] = await Promise.all([readModelConfig(directory), openCheckpoint(directory)]);
  return {
    config,
    program: buildProgram(config),
    checkpoint: withBasePrefix(checkpoint, basePrefix(config)),
  };
}
