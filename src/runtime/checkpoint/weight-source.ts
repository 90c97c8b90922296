/**
 * From a weight of a Program to rows of a checkpoint's tensor: the whole tensor of its name, or some of the rows of
 * another (one of several matrices that the file holds as one), transposed or not.
 */
import { requireTensor, type Checkpoint, type WeightTensor } from "./checkpoint.ts";
import { ModelComposeError } from "../../base/errors.ts";
import type { Precision } from "../generation/types.ts";
import type { OpenFile } from "../platform/files.ts";
import type { MatrixSpec, Name, Program, RowRange, VectorSpec } from "../program.ts";
import { readTensorRows, type ReadRowsOptions } from "./weight-reader.ts";

/** A weight as a device reads it. Plain data: it is posted to worker threads. */
export interface WeightSlice {
  tensor: WeightTensor;
  rows: number;
  columns: number;
  /** The tensor is [columns, rows of the tensor]. */
  transposed: boolean;
  /** Rows of the tensor, in order; together `rows`. */
  ranges: readonly RowRange[];
}

/** @throws ModelComposeError "invalid-checkpoint", "unsupported" for a tensor that is missing or of another type */
export function matrixSlice(program: Program, checkpoint: Checkpoint, name: Name): WeightSlice {
  return slice(checkpoint, name, requireSpec(program.matrices, name));
}

/** As matrixSlice; `columns` is 1. */
export function vectorSlice(program: Program, checkpoint: Checkpoint, name: Name): WeightSlice {
  const { length, source }: VectorSpec = requireSpec(program.vectors, name);
  return slice(checkpoint, name, { rows: length, columns: 1, source }, true);
}

/** Throws "unsupported" when a matrix is not stored in the precision asked for: nothing converts weights yet. */
export function requirePrecision(program: Program, checkpoint: Checkpoint, precision: Precision): void {
  if (precision === "stored") {
    return;
  }
  const wanted = { float32: "F32", float16: "F16", bfloat16: "BF16" }[precision];
  for (const matrix of program.matrices.keys()) {
    const { name, dtype } = matrixSlice(program, checkpoint, matrix).tensor;
    if (dtype === wanted) {
      continue;
    }
    throw new ModelComposeError(
      "unsupported",
      `The precision ${precision} was asked for; tensor "${name}" of "${checkpoint.directory}" is ${dtype}, and ` +
        "weights are not converted.",
      {
        remedy: 'Leave the precision out (or "stored"), or use a checkpoint of that type.',
        parameter: "precision",
      },
    );
  }
}

/** Of a slice's ranges those, cut, that make up its rows [start, end). */
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

/** As readTensorRows, of a slice's rows. */
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

function slice(checkpoint: Checkpoint, name: Name, spec: MatrixSpec, isVector = false): WeightSlice {
  const { rows, columns, source = { tensor: name, rows } } = spec;
  const { transposed = false, ranges = [{ start: 0, end: source.rows }] } = source;
  const shape = isVector ? [source.rows] : transposed ? [columns, source.rows] : [source.rows, columns];
  const tensor = requireTensor(checkpoint, source.tensor, shape);
  const taken = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  if (taken !== rows) {
    throw new Error(`"${name}" takes ${taken} rows of "${source.tensor}"; expected ${rows}.`);
  }
  return { tensor, rows, columns, transposed, ranges };
}
