/** Where the weights of a program lie in GPU memory: which matrices share a buffer, and how large ones are cut. */
import { rowStride, type FormatName } from "../../../kernels/format.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { heldFormats, type Quantization } from "../../held-formats.ts";
import { opMatrices, opVectors, type Name, type NormOp, type Program, type RowRange } from "../../program.ts";
import {
  matrixSlice,
  vectorSlice,
  type VectorSlice,
  type WeightSlice,
} from "../../checkpoint/weight-source.ts";
import type { FuseRules } from "./fuse.ts";
import { stacksOf, type Stage } from "./stage.ts";

/** Some rows of a weight buffer, as large as a binding may be. */
export interface Shard {
  /** Name of its buffer. */
  buffer: string;
  /** First row of the shard, among all rows of the weight; it has `count` rows. */
  first: number;
  count: number;
}

/** One of the matrices of a weight: its rows begin at row `first` of the whole. */
export interface WeightPart {
  source: WeightSlice;
  first: number;
}

/** Rows of a weight that a part and a shard of it have in common; none where they end before they start. */
export function overlap({ first, source }: WeightPart, shard: Shard): RowRange {
  return {
    start: Math.max(first, shard.first),
    end: Math.min(first + source.rows, shard.first + shard.count),
  };
}

/** One or several matrices, one below the other. */
export interface Weight {
  key: string;
  format: FormatName;
  columns: number;
  rows: number;
  /** Bytes from one row to the next. */
  stride: number;
  parts: readonly WeightPart[];
  shards: readonly Shard[];
}

/** A one-dimensional weight, widened to f32, at `offset` numbers in the buffer of vectors. */
export interface PlacedVector {
  source: VectorSlice;
  offset: number;
}

/** Where all weights lie. */
export interface WeightLayout {
  weights: ReadonlyMap<string, Weight>;
  vectors: readonly PlacedVector[];
  /** How many numbers the buffer of vectors holds. */
  vectorLength: number;
  /** Where the stacked biases of linear ops, or the gain of a norm, begin in the buffer of vectors, in numbers. */
  vectorOffset(names: readonly (Name | undefined)[]): number;
}

/** Matrices that are stacked are named by all of them; experts, of which there are many, by the first and the last. */
export const weightKey = (names: readonly Name[]): string =>
  names.length <= 4 ? names.join(" + ") : `${names[0]} + … + ${names[names.length - 1]} (${names.length})`;

/**
 * Matrices may be stacked when they have one format and width, when nothing else uses them (a tied embedding) and when
 * the stack fits one binding. Tables may be read by one kernel when they have one format and width, and the second one
 * fits one binding.
 */
export function fuseRules(
  program: Program,
  checkpoint: Checkpoint,
  bindingLimit: number,
  quantization: Quantization = "none",
): FuseRules {
  const matrixOf = placing(program, checkpoint, quantization);
  const uses = new Map<Name, number>();
  for (const groups of program.entries.values()) {
    for (const name of groups.flatMap((group) => group.ops.flatMap(opMatrices))) {
      uses.set(name, (uses.get(name) ?? 0) + 1);
    }
  }
  const matrices = (names: readonly Name[]): PlacedMatrix[] => names.map(matrixOf);
  const areAlike = ([first, ...others]: readonly PlacedMatrix[]): boolean =>
    others.every(({ format, source }) => format === first.format && source.columns === first.source.columns);
  const fit = (placed: readonly PlacedMatrix[]): boolean =>
    placed.reduce((sum, { source, stride }) => sum + source.rows * stride, 0) <= bindingLimit;
  return {
    canStack: (names) =>
      names.every((name) => uses.get(name) === 1) && areAlike(matrices(names)) && fit(matrices(names)),
    canAddTables: (table, positions) => areAlike(matrices([table, positions])) && fit(matrices([positions])),
  };
}

/**
 * Places every weight that the stages use.
 *
 * @param quantization what weights become while they are loaded
 * @param bindingLimit bytes that one buffer and one binding may have
 * @throws ModelComposeError "invalid-checkpoint", "unsupported" for tensors that are missing or of another type
 */
export function layOutWeights(
  program: Program,
  checkpoint: Checkpoint,
  stages: readonly Stage[],
  bindingLimit: number,
  quantization: Quantization = "none",
): WeightLayout {
  const matrixOf = placing(program, checkpoint, quantization);
  const weights = new Map<string, Weight>();
  const vectors: PlacedVector[] = [];
  const offsets = new Map<string, number>();
  let vectorLength = 4;

  const placeWeight = (names: readonly Name[]): void => {
    const key = weightKey(names);
    if (!weights.has(key)) {
      weights.set(key, stack(names, names.map(matrixOf), bindingLimit));
    }
  };
  /** Experts lie one below the other, and none in two shards. */
  const placeExperts = (names: readonly Name[]): void => {
    const key = weightKey(names);
    const matrices = names.map(matrixOf);
    const other = matrices.findIndex(({ format }) => format !== matrices[0].format);
    if (other >= 0) {
      throw new ModelComposeError(
        "unsupported",
        `The tensor "${names[other]}" is ${matrices[other].format} and "${names[0]}" ${matrices[0].format}; on a GPU the ` +
          `experts of a layer have one format.`,
        { remedy: 'Use the device "wasm".' },
      );
    }
    if (!weights.has(key)) {
      weights.set(key, stack(names, matrices, bindingLimit, matrices[0].source.rows));
    }
  };
  /** A region as long as `lengths` say, with zeros where there is no vector. */
  const placeVectors = (names: readonly (Name | undefined)[], lengths: readonly number[]): void => {
    const key = vectorKey(names);
    if (offsets.has(key) || names.every((name) => name === undefined)) {
      return;
    }
    offsets.set(key, vectorLength);
    let offset = vectorLength;
    for (const [i, name] of names.entries()) {
      if (name !== undefined) {
        const source = vectorSlice(program, checkpoint, name);
        if (source.rows !== lengths[i]) {
          throw new Error(`The vector "${name}" has ${source.rows} numbers; its op takes ${lengths[i]}.`);
        }
        vectors.push({ source, offset });
      }
      offset += lengths[i];
    }
    vectorLength = Math.ceil(offset / 4) * 4; // kernels read gains four at a time
  };
  const placeNorm = (norm: NormOp): void => {
    const columns = (program.buffers.get(norm.input) ?? 0) / (norm.heads ?? 1);
    placeVectors([norm.weight], [columns]);
    placeVectors([norm.bias], [columns]);
  };

  for (const stage of stages) {
    if (stage.kind === "embed") {
      placeWeight([stage.embed.table]);
    }
    if ("positions" in stage && stage.positions !== undefined) {
      placeWeight([stage.positions.table]);
    }
    if (stage.kind === "experts") {
      const { weights: experts, biases } = stage.experts;
      placeExperts(experts);
      placeVectors(
        biases ?? [],
        experts.map((name) => matrixRows(program, name)),
      );
    }
    if ("norm" in stage && stage.norm !== undefined) {
      placeNorm(stage.norm);
    }
    if (stage.kind === "attention") {
      for (const name of opVectors(stage.attention)) {
        placeVectors([name], [program.vectors.get(name)?.length ?? 0]);
      }
    }
    if ("weights" in stage) {
      stacksOf(stage).forEach(placeWeight);
      placeVectors(
        stage.biases,
        stage.weights.map((name) => matrixRows(program, name)),
      );
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

/** @param unit rows that no shard has a part of; rows are a multiple of it */
function stack(
  names: readonly Name[],
  matrices: readonly PlacedMatrix[],
  bindingLimit: number,
  unit = 1,
): Weight {
  const key = weightKey(names);
  const [{ format, source, stride }] = matrices;
  const { columns } = source;
  let rows = 0;
  const parts = matrices.map((matrix): WeightPart => {
    const part = { source: matrix.source, first: rows };
    rows += matrix.source.rows;
    return part;
  });
  const most = Math.floor(bindingLimit / (stride * unit));
  if (most === 0) {
    const what = unit === 1 ? "A row of the tensor" : "The tensor";
    throw new ModelComposeError(
      "unsupported",
      `${what} "${names[0]}" has ${stride * unit} bytes; the adapter binds at most ${bindingLimit}.`,
      { remedy: 'Use the device "wasm".' },
    );
  }
  // Even pieces: the last one of a cut at the limit could be a sliver.
  const units = rows / unit;
  const pieces = Math.ceil(units / most);
  const shards = Array.from({ length: pieces }, (_, i): Shard => {
    const first = Math.floor((units * i) / pieces) * unit;
    const end = Math.floor((units * (i + 1)) / pieces) * unit;
    return {
      buffer: pieces === 1 ? `weight ${key}` : `weight ${key} (${i + 1} of ${pieces})`,
      first,
      count: end - first,
    };
  });
  return { key, format, columns, rows, stride, parts, shards };
}

interface PlacedMatrix {
  source: WeightSlice;
  /** The format that it is held in: the checkpoint's, or what it becomes while it is loaded. */
  format: FormatName;
  /** Bytes from one row to the next. */
  stride: number;
}

function placing(
  program: Program,
  checkpoint: Checkpoint,
  quantization: Quantization,
): (name: Name) => PlacedMatrix {
  const held = heldFormats(program, quantization);
  return (name) => {
    const source = matrixSlice(program, checkpoint, name);
    const format = held(name, source.format);
    return { source, format, stride: rowStride({ format, columns: source.columns }) };
  };
}

function matrixRows(program: Program, name: Name): number {
  const matrix = program.matrices.get(name);
  if (matrix === undefined) {
    throw new Error(`The program declares no matrix "${name}".`);
  }
  return matrix.rows;
}
