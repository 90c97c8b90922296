import { missingWeightFiles, openCheckpoint } from "../runtime/checkpoint/checkpoint.ts";
import { storedPrecision, type StoredPrecision } from "../runtime/checkpoint/stored-precision.ts";

/**
 * The type of most of the weights of a model's folder; undefined when they are not there, or of another type.
 *
 * @throws ModelComposeError "invalid-checkpoint"
 */
export async function precisionAtHand(directory: string): Promise<StoredPrecision | undefined> {
  return (await missingWeightFiles(directory)).length > 0
    ? undefined
    : storedPrecision(await openCheckpoint(directory));
}
