/**
 * Finds the rows of a checkpoint's tensor that are a weight of a Program: the whole tensor of its name, or some of the
 * rows of another (one of several matrices that the file holds as one), transposed or not.
 */
import type { FloatFormat, FormatName, StoredFormat } from "../../kernels/format.ts";
import { requireTensor, type Checkpoint, type WeightTensor } from "./checkpoint.ts";
import { ModelComposeError } from "../../base/errors.ts";
import type { Precision } from "../device-types.ts";
import type { OpenFile } from "../platform/files.ts";
import type { Affine, Name, Program, RowRange, VectorSpec, WeightSource } from "../program.ts";
import type { CheckpointDType } from "./tensor-location.ts";
import { readTensorRows, type ReadRowsOptions } from "./weight-reader.ts";

/** A weight as a device reads it. Plain data: it is posted to worker threads. */
export interface WeightSlice {
  tensor: WeightTensor<keyof typeof FORMAT_OF>;
  /** The format that the tensor is stored in, or tensor and scales together. */
  format: StoredFormat;
  /** The scales, one for each of these rows, in a format that has one a row; absent in others. */
  scales?: VectorSlice;
  rows: number;
  columns: number;
  /** Whether the file has the matrix transposed, as [columns, rows of the tensor]. */
  transposed: boolean;
  /** Rows of the tensor, in order; together `rows`. */
  ranges: readonly RowRange[];
}

/** A vector as a device reads it; `columns` is 1. */
export interface VectorSlice extends WeightSlice {
  tensor: WeightTensor;
  /** Which of the numbers of `ranges` make up the vector, by their indices; absent: all. */
  gather?: readonly number[];
  /** What is made of its numbers; absent: they stay. */
  affine?: Affine;
}

/** The format that kernels read a tensor of each dtype as; I8 comes with scales. */
const FORMAT_OF = { F32: "f32", F16: "f16", BF16: "bf16", I8: "i8-row" } as const satisfies Partial<
  Record<CheckpointDType, StoredFormat>
>;

/**
 * The rows of the checkpoint that are the matrix `name` of the program.
 *
 * @throws ModelComposeError "invalid-checkpoint" for a tensor that is missing or of another shape, "unsupported" for
 *   another type
 */
export function matrixSlice(program: Program, checkpoint: Checkpoint, name: Name): WeightSlice {
  const { rows, columns, source = { tensor: name, rows } } = requireSpec(program.matrices, name);
  const { transposed = false, ranges = wholeOf(source) } = source;
  requireRows(name, source, ranges, rows);
  const shape = transposed ? [columns, source.rows] : [source.rows, columns];
  if (source.scales === undefined) {
    const tensor = requireTensor(checkpoint, source.tensor, shape);
    return { tensor, format: FORMAT_OF[tensor.dtype], rows, columns, transposed, ranges };
  }
  const tensor = requireTensor(checkpoint, source.tensor, shape, ["I8"]);
  const scales = vectorOf(requireTensor(checkpoint, source.scales, [source.rows]), rows, ranges);
  return { tensor, format: FORMAT_OF[tensor.dtype], scales, rows, columns, transposed, ranges };
}

/** The rows of the checkpoint that are the vector `name` of the program; throws as `matrixSlice`. */
export function vectorSlice(program: Program, checkpoint: Checkpoint, name: Name): VectorSlice {
  const spec: VectorSpec = requireSpec(program.vectors, name);
  const { length, source = { tensor: name, rows: length }, gather, affine } = spec;
  const slice =
    gather === undefined
      ? plainVector(checkpoint, name, source, length)
      : gathered(checkpoint, source, gather, length);
  return affine === undefined ? slice : { ...slice, affine };
}

function plainVector(checkpoint: Checkpoint, name: Name, source: WeightSource, length: number): VectorSlice {
  const { ranges = wholeOf(source) } = source;
  requireRows(name, source, ranges, length);
  return vectorOf(requireTensor(checkpoint, source.tensor, [source.rows]), length, ranges);
}

/** The matrix as one vector of what lies in the file, and where in it each number of the wanted vector is. */
function gathered(
  checkpoint: Checkpoint,
  { tensor: name, rows }: WeightSource,
  { columns, indices }: NonNullable<VectorSpec["gather"]>,
  length: number,
): VectorSlice {
  const { strides = [columns, 1], ...tensor } = requireTensor(checkpoint, name, [rows, columns]);
  const stored = (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1;
  const byteLength = (tensor.byteLength / (rows * columns)) * stored;
  const slice = vectorOf({ ...tensor, shape: [stored], byteLength }, length, [{ start: 0, end: stored }]);
  const gather = indices.map((i) => Math.floor(i / columns) * strides[0] + (i % columns) * strides[1]);
  return { ...slice, gather };
}

/** How many numbers are read for a vector. */
export function vectorReads({ rows, ranges, gather }: VectorSlice): number {
  return gather === undefined ? rows : ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

function vectorOf(tensor: WeightTensor, rows: number, ranges: readonly RowRange[]): VectorSlice {
  return { tensor, format: FORMAT_OF[tensor.dtype], rows, columns: 1, transposed: false, ranges };
}

function wholeOf({ rows }: WeightSource): RowRange[] {
  return [{ start: 0, end: rows }];
}

function requireRows(name: Name, source: WeightSource, ranges: readonly RowRange[], rows: number): void {
  const taken = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  if (taken !== rows) {
    throw new Error(`"${name}" takes ${taken} rows of "${source.tensor}"; expected ${rows}.`);
  }
}

const PRECISION_OF: Readonly<Record<FloatFormat, Precision>> = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
};

const FLOAT_FORMATS: readonly FloatFormat[] = ["f32", "f16", "bf16"];

/** The format that a precision asks for; undefined: each weight's own. */
export function formatOfPrecision(precision: Precision): FloatFormat | undefined {
  return FLOAT_FORMATS.find((format) => PRECISION_OF[format] === precision);
}

/** Throws "unsupported" when a matrix is not stored in the format asked for: only the CPU converts weights. */
export function requireFormat(
  program: Program,
  checkpoint: Checkpoint,
  wanted: FloatFormat | undefined,
): void {
  if (wanted === undefined) {
    return;
  }
  for (const matrix of program.matrices.keys()) {
    const { tensor, format } = matrixSlice(program, checkpoint, matrix);
    if (format === wanted) {
      continue;
    }
    throw new ModelComposeError(
      "unsupported",
      `The precision ${PRECISION_OF[wanted]} was asked for; tensor "${tensor.name}" of ` +
        `"${checkpoint.directory}" is ${tensor.dtype}, and weights are not converted on a GPU.`,
      {
        remedy:
          'Leave the precision out (or "stored"), use a checkpoint of that type, or the device "wasm" (the CPU).',
        parameter: "precision",
      },
    );
  }
}

/** The error for a weight that no quantised format holds. */
export function notFinite({ tensor }: WeightSlice, format: FormatName): ModelComposeError {
  return new ModelComposeError(
    "invalid-checkpoint",
    `Tensor "${tensor.name}" in "${tensor.file}" has a weight that is infinite or no number; ${format} has neither.`,
    {
      remedy:
        'Load it without quantization ("none") to see what the model makes of it, or fetch the file anew.',
    },
  );
}

/** Those of a slice's ranges, cut where need be, that make up its rows [start, end). */
export function tensorRanges(ranges: readonly RowRange[], { start, end }: RowRange): RowRange[] {
  const found: RowRange[] = [];
  let first = 0;
  for (const range of ranges) {
    const from = Math.max(start - first, 0);
    const to = Math.min(end - first, range.end - range.start);
    if (from < to) {
      found.push({ start: range.start + from, end: range.start + to });
    }
    first += range.end - range.start;
  }
  return found;
}

/** Reads rows of a slice into `target`; options and errors are those of `readTensorRows`. */
export function readSliceRows(
  file: OpenFile,
  weight: WeightSlice,
  rows: RowRange,
  target: Uint8Array,
  options: Omit<ReadRowsOptions, "transform"> = {},
): void {
  const { tensor, transposed, ranges } = weight;
  const rowBytes = target.byteLength / Math.max(1, rows.end - rows.start);
  let offset = 0;
  for (const range of tensorRanges(ranges, rows)) {
    const bytes = (range.end - range.start) * rowBytes;
    const part = target.subarray(offset, offset + bytes);
    readTensorRows(file, tensor, range, part, { ...options, transform: { transpose: transposed } });
    offset += bytes;
  }
}

function requireSpec<T>(specs: ReadonlyMap<Name, T>, name: Name): T {
  const spec = specs.get(name);
  if (spec === undefined) {
    throw new Error(`The program declares no weight "${name}".`);
  }
  return spec;
}
