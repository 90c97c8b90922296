/** Where the weights of a program lie in GPU memory: which matrices share a buffer, and how large ones are cut. */
import { rowStride, type WeightFormat } from "../../kernels/linear/weights.gpu.ts";
import { requireTensor, type Checkpoint, type WeightTensor } from "../checkpoint.ts";
import { ModelComposeError } from "../errors.ts";
import type { Name, Program } from "../program.ts";
import type { CanStack, Stage } from "./fuse.ts";

/** Some rows of a weight buffer, as large as a binding may be. */
export interface Shard {
  /** Name of its buffer. */
  buffer: string;
  /** First row, of all rows of the weight, and how many. */
  first: number;
  count: number;
}

/** One or several matrices, one below the other. */
export interface Weight {
  key: string;
  format: WeightFormat;
  columns: number;
  rows: number;
  /** Bytes from one row to the next. */
  stride: number;
  parts: readonly { tensor: WeightTensor; first: number; rows: number }[];
  shards: readonly Shard[];
}

/** A one-dimensional weight, widened to f32, at `offset` numbers in the buffer of vectors. */
export interface PlacedVector {
  tensor: WeightTensor;
  offset: number;
  length: number;
}

export interface WeightLayout {
  weights: ReadonlyMap<string, Weight>;
  vectors: readonly PlacedVector[];
  /** Numbers in the buffer of vectors. */
  vectorLength: number;
  /** Where the stacked biases of these linear ops, or the gain of that norm, begin. */
  vectorOffset(names: readonly (Name | undefined)[]): number;
}

export const weightKey = (names: readonly Name[]): string => names.join(" + ");

const FORMATS: Readonly<Record<WeightTensor["dtype"], WeightFormat>> = {
  BF16: "bf16",
  F16: "f16",
  F32: "f32",
};

/**
 * Matrices may be stacked when they have one format and width, when nothing else uses them (a tied embedding) and when
 * the stack fits one binding.
 */
export function stackingRule(program: Program, checkpoint: Checkpoint, bindingLimit: number): CanStack {
  const uses = new Map<Name, number>();
  for (const groups of program.entries.values()) {
    for (const op of groups.flatMap((group) => group.ops)) {
      const name =
        op.role === "embed" ? op.table : op.role === "linear" || op.role === "logits" ? op.weight : undefined;
      if (name !== undefined) uses.set(name, (uses.get(name) ?? 0) + 1);
    }
  }
  return (names) => {
    const matrices = names.map((name) => matrixOf(program, checkpoint, name));
    const [first] = matrices;
    const bytes = matrices.reduce((sum, matrix) => sum + matrix.rows * matrix.stride, 0);
    return (
      bytes <= bindingLimit &&
      names.every((name) => uses.get(name) === 1) &&
      matrices.every(({ format, columns }) => format === first.format && columns === first.columns)
    );
  };
}

/**
 * Places every weight that the stages use.
 *
 * @param bindingLimit bytes that one buffer and one binding may have
 * @throws ModelComposeError "invalid-checkpoint", "unsupported" for tensors that are missing or of another type
 */
export function layOutWeights(
  program: Program,
  checkpoint: Checkpoint,
  stages: readonly Stage[],
  bindingLimit: number,
): WeightLayout {
  const weights = new Map<string, Weight>();
  const vectors: PlacedVector[] = [];
  const offsets = new Map<string, number>();
  let vectorLength = 4;

  const placeWeight = (names: readonly Name[]): void => {
    const key = weightKey(names);
    if (!weights.has(key)) weights.set(key, stack(program, checkpoint, names, bindingLimit));
  };
  /** A region as long as `lengths` say, with zeros where there is no vector. */
  const placeVectors = (names: readonly (Name | undefined)[], lengths: readonly number[]): void => {
    const key = vectorKey(names);
    if (offsets.has(key) || names.every((name) => name === undefined)) return;
    offsets.set(key, vectorLength);
    let offset = vectorLength;
    for (const [i, name] of names.entries()) {
      if (name !== undefined) {
        vectors.push({ tensor: requireTensor(checkpoint, name, [lengths[i]]), offset, length: lengths[i] });
      }
      offset += lengths[i];
    }
    vectorLength = Math.ceil(offset / 4) * 4; // kernels read gains four at a time
  };

  for (const stage of stages) {
    if (stage.kind === "embed") placeWeight([stage.table]);
    if (stage.kind === "norm")
      placeVectors([stage.norm.weight], [vectorLengthOf(program, stage.norm.weight)]);
    if ("weights" in stage) {
      placeWeight(stage.weights);
      placeVectors(
        stage.biases,
        stage.weights.map((name) => matrixRows(program, name)),
      );
      if (stage.norm !== undefined) {
        placeVectors([stage.norm.weight], [vectorLengthOf(program, stage.norm.weight)]);
      }
    }
  }
  return {
    weights,
    vectors,
    vectorLength,
    vectorOffset: (names) => offsets.get(vectorKey(names)) ?? 0,
  };
}

const vectorKey = (names: readonly (Name | undefined)[]): string =>
  names.map((name) => name ?? "").join(" + ");

function stack(
  program: Program,
  checkpoint: Checkpoint,
  names: readonly Name[],
  bindingLimit: number,
): Weight {
  const key = weightKey(names);
  const matrices = names.map((name) => matrixOf(program, checkpoint, name));
  const [{ format, columns, stride }] = matrices;
  let rows = 0;
  const parts = matrices.map((matrix) => {
    const part = { tensor: matrix.tensor, first: rows, rows: matrix.rows };
    rows += matrix.rows;
    return part;
  });
  const most = Math.floor(bindingLimit / stride);
  if (most === 0) {
    throw new ModelComposeError(
      "unsupported",
      `A row of the tensor "${names[0]}" has ${stride} bytes; the adapter binds at most ${bindingLimit}.`,
      { remedy: 'Use the device "wasm".' },
    );
  }
  // Even pieces: the last one of a cut at the limit could be a sliver.
  const pieces = Math.ceil(rows / most);
  const shards = Array.from({ length: pieces }, (_, i): Shard => {
    const first = Math.floor((rows * i) / pieces);
    const end = Math.floor((rows * (i + 1)) / pieces);
    return {
      buffer: pieces === 1 ? `weight ${key}` : `weight ${key} (${i + 1} of ${pieces})`,
      first,
      count: end - first,
    };
  });
  return { key, format, columns, rows, stride, parts, shards };
}

function matrixOf(
  program: Program,
  checkpoint: Checkpoint,
  name: Name,
): { tensor: WeightTensor; format: WeightFormat; rows: number; columns: number; stride: number } {
  const { columns } = requireMatrix(program, name);
  const rows = matrixRows(program, name);
  const tensor = requireTensor(checkpoint, name, [rows, columns]);
  const format = FORMATS[tensor.dtype];
  return { tensor, format, rows, columns, stride: rowStride({ format, columns }) };
}

function matrixRows(program: Program, name: Name): number {
  return requireMatrix(program, name).rows;
}

function requireMatrix(program: Program, name: Name): { rows: number; columns: number } {
  const matrix = program.matrices.get(name);
  if (matrix === undefined) throw new Error(`The program declares no matrix "${name}".`);
  return matrix;
}

function vectorLengthOf(program: Program, name: Name): number {
  const length = program.vectors.get(name);
  if (length === undefined) throw new Error(`The program declares no vector "${name}".`);
  return length;
}
