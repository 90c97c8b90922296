/** What a model takes, from its configuration alone. */
import type { MatrixSpec, Program, VectorSpec } from "../runtime/program.ts";
import { numbersPerPosition, type LayerState } from "../runtime/state.ts";
import { describeModel } from "./describe-model.ts";

export interface ModelInfo {
  readonly family: string;
  readonly architecture: Program["architecture"];
  /** Numbers in all weights; a weight that is used twice (tied embeddings) counts once. */
  readonly parameters: number;
  readonly vocabSize: number;
  /** Tokens for which the model was made. */
  readonly maxPositions: number;
  /** Of the KV cache for each token, which is kept in f32. */
  readonly kvBytesPerToken: number;
  /** Of an encoder–decoder, the same for each token of the encoder's input; else 0. */
  readonly sourceKvBytesPerToken: number;
}

/**
 * Reads config.json of a model's directory.
 *
 * @throws ModelComposeError "not-found" without it, "invalid-config", "unsupported"
 */
export async function readModelInfo(directory: string): Promise<ModelInfo> {
  const { program } = await describeModel(directory);
  const { family, architecture, vocabSize, maxPositions, state } = program;
  const bytesPerToken = (kind: LayerState["kind"]): number =>
    state
      .filter((layer) => layer.kind === kind)
      .reduce((sum, layer) => sum + numbersPerPosition(layer) * Float32Array.BYTES_PER_ELEMENT, 0);
  return {
    family,
    architecture,
    parameters: countParameters(program),
    vocabSize,
    maxPositions,
    kvBytesPerToken: bytesPerToken("kv"),
    sourceKvBytesPerToken: bytesPerToken("source"),
  };
}

/** Weights may be parts of one tensor, and two of them the same part. */
function countParameters({ matrices, vectors }: Program): number {
  const counted = new Map<string, number>();
  const place = (name: string, { source }: MatrixSpec | VectorSpec): string =>
    JSON.stringify([source?.tensor ?? name, source?.ranges ?? []]);
  for (const [name, spec] of matrices) {
    counted.set(place(name, spec), spec.rows * spec.columns);
  }
  for (const [name, spec] of vectors) {
    counted.set(place(name, spec), spec.length);
  }
  return [...counted.values()].reduce((sum, count) => sum + count, 0);
}
