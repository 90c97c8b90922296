/**
 * Matrices that config.json ties, against what the checkpoint has, as transformers 5 does it (PreTrainedModel.tie_weights):
 * those that are there with values of their own are used as they are there; where the matrix that the others are tied to
 * is not there, one of the others is it.
 */
import { findTensor, type Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import { haveSameBytes } from "../runtime/checkpoint/same-bytes.ts";
import type { Program } from "../runtime/program.ts";
import type { ModelDescription } from "./describe-model.ts";

/** How the tied matrices of a model lie in its checkpoint. */
export interface TiedWeights {
  /** The forward pass, in which matrices with values of their own are apart. */
  readonly program: Program;
  /** The checkpoint, in which the first of the matrices is found also where only another one is there. */
  readonly checkpoint: Checkpoint;
  /** The matrices that are one, by the Program's names, whether the checkpoint has them or not. */
  readonly same: readonly string[];
  /** What people should know, in a sentence. */
  readonly notice?: string;
}

/**
 * Looks for the matrices that config.json ties. Those that are there twice are compared, for which they are read.
 *
 * @throws ModelComposeError "not-found", "invalid-checkpoint" for files that cannot be read
 */
export async function resolveTiedWeights(
  { config, family, program, programWith }: ModelDescription,
  checkpoint: Checkpoint,
): Promise<TiedWeights> {
  const [first, ...rest] = family.tied;
  if (rest.some((name) => program.matrices.has(name))) {
    return { program, checkpoint, same: [] };
  }
  const present = family.tied.flatMap((name) => {
    const tensor = findTensor(checkpoint, name);
    return tensor === undefined ? [] : [{ name, tensor }];
  });
  const [source, ...others] = present;
  const separate = new Set<string>();
  for (const { name, tensor } of others) {
    if (!(await haveSameBytes(source.tensor, tensor))) {
      separate.add(name);
    }
  }
  const same = family.tied.filter((name) => !separate.has(name));
  const resolved =
    separate.size === 0
      ? { program }
      : { program: programWith(separate), notice: config.isUntied === true ? undefined : told(separate) };
  if (source === undefined || source.name === first) {
    return { ...resolved, checkpoint, same };
  }
  const tensors = new Map(checkpoint.tensors).set(first, source.tensor);
  return { ...resolved, checkpoint: { ...checkpoint, tensors }, same };
}

function told(separate: ReadonlySet<string>): string {
  const names = [...separate].map((name) => `"${name}"`).join(" and ");
  const [has, which] = separate.size === 1 ? ["has", "which is"] : ["have", "which are"];
  return (
    `"tie_word_embeddings" of config.json is true, but ${names} ${has} other values than the embeddings in the weight ` +
    `files, ${which} used, as transformers does.`
  );
}
