/** A model's folder, opened but not loaded: configuration, forward pass and checked weight files. */
import { clip } from "../base/clip.ts";
import {
  findTensor,
  openCheckpoint,
  withBasePrefix,
  type Checkpoint,
} from "../runtime/checkpoint/checkpoint.ts";
import { ModelComposeError } from "../base/errors.ts";
import type { Program } from "../runtime/program.ts";
import type { BaseConfig } from "./config/base.ts";
import { describeModel } from "./describe-model.ts";
import { withSeparateExperts } from "./expert-tensors.ts";
import { resolveTiedWeights } from "./tied-weights.ts";

/** A model's configuration, forward pass and weight files. */
export interface OpenModel {
  config: BaseConfig;
  program: Program;
  /** The weight files, which find tensors by the Program's names, however they spell the base model's prefix. */
  checkpoint: Checkpoint;
  /** What people should know of the files, in sentences. */
  notices: string[];
}

/**
 * Opens the model of a folder.
 *
 * @throws ModelComposeError "not-found", "invalid-config", "invalid-checkpoint", "unsupported"
 */
export async function openModel(directory: string): Promise<OpenModel> {
  const [description, opened] = await Promise.all([describeModel(directory), openCheckpoint(directory)]);
  refuseQuantizedTensors(opened);
  const { family, config } = description;
  const { basePrefix, otherPrefixes, experts } = family;
  const separate = experts === undefined ? opened : withSeparateExperts(opened, experts);
  const named = withBasePrefix(separate, basePrefix, otherPrefixes);
  const { program, checkpoint, same, notice } = await resolveTiedWeights(description, named);
  const notices = [...description.notices, ...named.notices, ...(notice === undefined ? [] : [notice])];
  const unused = unusedTensors(program, checkpoint, same);
  if (unused.length > 0) {
    const names = unused.slice(0, 3).map((name) => `"${clip(name)}"`);
    const more = unused.length > names.length ? ", …" : "";
    const count = unused.length === 1 ? "1 tensor" : `${unused.length} tensors`;
    notices.push(`The model has no use for ${count} of the checkpoint: ${names.join(", ")}${more}.`);
  }
  return { config, program, checkpoint, notices };
}

/** What transformers leaves out of files or ignores in them: what is computed (masks, frequencies, positions), and what T5 once had for nothing. */
const COMPUTED =
  /(?:^|\.)(?:inv_freq|masked_bias|attn\.bias|attention\.bias|attn\.causal_mask|position_ids|embed_positions\.weight|EncDecAttention\.relative_attention_bias\.weight|num_batches_tracked|total_params|total_ops)$/;

/**
 * The tensors of a checkpoint that no weight of the model is made of.
 *
 * @param same names of matrices whose values are those of another that the model has
 */
function unusedTensors(program: Program, checkpoint: Checkpoint, same: readonly string[]): string[] {
  const used = new Set(same.map((name) => findTensor(checkpoint, name)?.name));
  for (const [name, { source }] of [...program.matrices, ...program.vectors]) {
    for (const wanted of [source?.tensor ?? name, source?.scales]) {
      used.add(wanted === undefined ? undefined : findTensor(checkpoint, wanted)?.name);
    }
  }
  const stored = new Set([...checkpoint.tensors.values()].map(({ name }) => name));
  return [...stored].filter((name) => !used.has(name) && !COMPUTED.test(name));
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
