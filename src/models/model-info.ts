/** Tells what memory a model takes, from its configuration alone. */
import { matrixBytes, type QuantizedFormat, type StoredFormat } from "../kernels/format.ts";
import type { KvPrecision } from "../runtime/device-types.ts";
import { cpuWorkBytes } from "../runtime/devices.ts";
import { heldFormats, type Quantization } from "../runtime/held-formats.ts";
import type { MatrixSpec, Program, VectorSpec } from "../runtime/program.ts";
import { numbersPerPosition, type LayerState } from "../runtime/state.ts";
import { weightsRead } from "../runtime/weights-read.ts";
import { describeModel } from "./describe-model.ts";

/** What a model is, and what memory it takes. */
export interface ModelInfo {
  readonly family: string;
  readonly architecture: Program["architecture"];
  /** Number of parameters; a weight that is used twice (tied embeddings) counts once. */
  readonly parameters: number;
  readonly vocabSize: number;
  /** Layers that a token of the text goes through. */
  readonly layers: number;
  /** Most tokens of a sequence for which the model was made. */
  readonly maxPositions: number;
  /** Bytes of a KV cache of float32 for each token; one of float16 takes half. */
  readonly kvBytesPerToken: number;
  /** The same for each token of an encoder's input; 0 for a model without an encoder. */
  readonly sourceKvBytesPerToken: number;
  /** Bytes of activations and scratch on the CPU, about, beside so many bytes of weights and cache. */
  readonly cpuWorkBytes: (
    options: { threads: number; contextLength: number; kvPrecision: KvPrecision },
    heldBytes: number,
  ) => number;
  /** Bytes of all weights where those that the checkpoint has as `stored` are quantised while they are loaded. */
  readonly quantizedBytes: (quantization: QuantizedFormat, stored: StoredFormat) => number;
  /**
   * Bytes of the weights that are read for each token of the text: of experts those that it has chosen; a table in which it is only
   * looked up counts for nothing.
   */
  readonly bytesReadPerToken: (quantization: Quantization, stored: StoredFormat) => number;
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
    layers: state.filter(({ kind }) => kind !== "source").length,
    maxPositions,
    kvBytesPerToken: bytesPerToken("kv"),
    sourceKvBytesPerToken: bytesPerToken("source"),
    cpuWorkBytes: (options, heldBytes) => cpuWorkBytes(program, options, heldBytes),
    quantizedBytes: (quantization, stored) => quantizedBytes(program, quantization, stored),
    bytesReadPerToken: (quantization, stored) => bytesReadPerToken(program, quantization, stored),
  };
}

/** A matrix counts once, whatever uses it; vectors are held as f32. */
function quantizedBytes(program: Program, quantization: QuantizedFormat, stored: StoredFormat): number {
  const held = heldFormats(program, quantization);
  const matrices = [...program.matrices].map(([name, { rows, columns }]) =>
    matrixBytes(held(name, stored), rows, columns),
  );
  const vectors = [...program.vectors.values()].map(({ length }) => length * Float32Array.BYTES_PER_ELEMENT);
  return [...matrices, ...vectors].reduce((sum, bytes) => sum + bytes, 0);
}

function bytesReadPerToken(program: Program, quantization: Quantization, stored: StoredFormat): number {
  const held = heldFormats(program, quantization);
  return [...weightsRead(program)].reduce((sum, [name, part]) => {
    const { rows, columns } = program.matrices.get(name) ?? { rows: 0, columns: 0 };
    return sum + part * matrixBytes(held(name, stored), rows, columns);
  }, 0);
}

/** Counts the numbers of all weights. They may be parts of one tensor, and two of them the same part. */
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
