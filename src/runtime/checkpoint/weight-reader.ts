/**
 * Reads rows of a weight matrix from a checkpoint file into device memory, in the layout a kernel wants.
 * Synchronous: it runs inside the worker thread that owns the rows. No more than a bounded window of the file is
 * ever in memory besides the target itself.
 */
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import type { OpenFile } from "../platform/files.ts";
import type { RowRange } from "../program.ts";
import { readMxfp4Rows } from "./mxfp4.ts";
import { bytesPerElement, type TensorLocation } from "./tensor-location.ts";

/**
 * How rows get from the file's layout to the target's; without a transform, bytes go to the target as they are.
 * Elements are moved, never converted. (Packing into a kernel's layout is the device's: it packs what a window
 * brought.)
 */
export interface WeightTransform {
  /** The file holds the matrix transposed, [columns, rows]: the target's row r is the file's column r. */
  transpose?: boolean;
}

export interface ReadRowsOptions {
  transform?: WeightTransform;
  /** Upper bound on the intermediate buffer, and on one read. Default 4 MiB. */
  windowBytes?: number;
  /**
   * Called as parts arrive, each time with the number of bytes that they fill of the target; all calls add up to its
   * size.
   */
  onBytes?: (count: number) => void;
  /** Asked before every read; true ends the call with an AbortError. */
  shouldStop?: () => boolean;
}

export const DEFAULT_WINDOW_BYTES = 4 * 2 ** 20;

/** The transposing loop walks this many stored rows of all columns before the next, to stay within the L1 cache. */
const COLUMN_BLOCK = 256;

/** What lies between two wanted parts of a file is read along when it is no more than this: about the cost of a read. */
const MAX_GAP_BYTES = 16 * 1024;

/**
 * A matrix as the target wants it: element (r, c) lies rowStride * r + columnStride * c elements after the first. Row-major
 * in the file: columnStride 1; transposed in the file: rowStride 1.
 */
interface Matrix {
  rows: number;
  columns: number;
  rowStride: number;
  columnStride: number;
  elementBytes: number;
}

/** Part of the matrix as stored in the file: stored rows [row, row + rows), stored columns likewise. */
interface Tile {
  row: number;
  rows: number;
  column: number;
  columns: number;
}

/** Fills `part` with the file's bytes from `position` on, which bring `wanted` bytes of the target. */
type Read = (part: Uint8Array, position: number, wanted?: number) => void;

/**
 * Fills `target` with rows [start, end) of a matrix [rows, columns], or of a vector taken as [rows, 1]; with
 * `transform.transpose`, of the matrix that the file holds as [columns, rows]. A tensor's strides are followed: where they
 * and the transform cancel out, bytes go straight to the target. `target` must have exactly the rows' bytes and, unless
 * they go straight, begin at a multiple of the element size (at most 4). It may be a view on a WebAssembly memory. Rows that
 * the file has as MXFP4 are widened to bf16.
 *
 * Throws "invalid-argument" for a rank, range, target or option that does not fit, "invalid-checkpoint" when the
 * file ends early, and AbortError when `shouldStop` says so.
 */
export function readTensorRows(
  file: OpenFile,
  tensor: TensorLocation,
  rows: RowRange,
  target: Uint8Array,
  options: ReadRowsOptions = {},
): void {
  const { transform = {}, windowBytes = DEFAULT_WINDOW_BYTES, onBytes, shouldStop } = options;
  const { mxfp4 } = tensor;
  if (mxfp4 !== undefined && transform.transpose !== true) {
    readMxfp4Rows(file, { ...tensor, mxfp4 }, rows, target, { windowBytes, onBytes, shouldStop });
    return;
  }
  const matrix = matrixOf(tensor, transform);
  checkArguments(tensor, matrix, rows, target, windowBytes);
  const read: Read = (part, position, wanted = part.byteLength) => {
    if (shouldStop?.()) {
      throw new AbortError();
    }
    file.read(part, tensor.offset + position);
    onBytes?.(wanted);
  };
  if (isStraight(matrix)) {
    readStraight(matrix, rows, target, windowBytes, read);
  } else if (isTransposed(matrix)) {
    readTransposed(matrix, rows, target, windowBytes, read);
  } else {
    readScattered(matrix, rows, target, windowBytes, read);
  }
}

/** The tensor as the target wants it. Strides of a dimension with one index mean nothing: they become the simplest. */
function matrixOf(tensor: TensorLocation, transform: WeightTransform): Matrix {
  const [first, second = 1] = tensor.shape;
  if (first === undefined || tensor.shape.length > 2) {
    throw new ModelComposeError(
      "invalid-argument",
      `Tensor "${tensor.name}" has shape [${tensor.shape.join(", ")}]; rows are read of one or two dimensions.`,
    );
  }
  const [firstStride = second, secondStride = 1] = tensor.strides ?? [];
  const elementBytes = bytesPerElement(tensor.dtype);
  const stored = { rows: first, columns: second, rowStride: firstStride, columnStride: secondStride };
  const { rows, columns, rowStride, columnStride } = transform.transpose
    ? { rows: second, columns: first, rowStride: secondStride, columnStride: firstStride }
    : stored;
  if (columns <= 1) {
    return { rows, columns, rowStride, columnStride: 1, elementBytes };
  }
  if (rows <= 1) {
    return { rows, columns, rowStride: columns * columnStride, columnStride, elementBytes };
  }
  return { rows, columns, rowStride, columnStride, elementBytes };
}

/** Whether the target's bytes are the file's, in the same order. */
function isStraight({ columns, rowStride, columnStride }: Matrix): boolean {
  return columnStride === 1 && rowStride === columns;
}

/** Whether the matrix's columns are rows in the file, one behind the other, with gaps perhaps. */
function isTransposed({ rows, rowStride, columnStride }: Matrix): boolean {
  return rowStride === 1 && columnStride >= rows;
}

function checkArguments(
  tensor: TensorLocation,
  matrix: Matrix,
  { start, end }: RowRange,
  target: Uint8Array,
  windowBytes: number,
): void {
  const fail = (problem: string): never => {
    throw new ModelComposeError("invalid-argument", `Reading tensor "${tensor.name}": ${problem}.`);
  };
  if (!Number.isSafeInteger(windowBytes) || windowBytes < matrix.elementBytes) {
    fail(
      `windowBytes is ${windowBytes}; expected an integer >= ${matrix.elementBytes}, the size of an element`,
    );
  }
  if (
    !Number.isSafeInteger(start) ||
    !Number.isSafeInteger(end) ||
    start < 0 ||
    start > end ||
    end > matrix.rows
  ) {
    fail(`rows [${start}, ${end}) were asked for; expected a range within [0, ${matrix.rows})`);
  }
  const expected = (end - start) * matrix.columns * matrix.elementBytes;
  if (target.byteLength !== expected) {
    fail(`the target has ${target.byteLength} bytes; expected ${expected}`);
  }
  const alignment = Math.min(matrix.elementBytes, 4);
  if (!isStraight(matrix) && target.byteOffset % alignment !== 0) {
    fail(`the target begins at byte ${target.byteOffset}; expected a multiple of ${alignment}`);
  }
}

function readStraight(
  { columns, elementBytes }: Matrix,
  rows: RowRange,
  target: Uint8Array,
  windowBytes: number,
  read: Read,
): void {
  const first = rows.start * columns * elementBytes;
  for (let done = 0; done < target.byteLength; done += windowBytes) {
    read(target.subarray(done, done + windowBytes), first + done);
  }
}

function readTransposed(
  { columns, columnStride, elementBytes }: Matrix,
  rows: RowRange,
  target: Uint8Array,
  windowBytes: number,
  read: Read,
): void {
  const region: Tile = { row: 0, rows: columns, column: rows.start, columns: rows.end - rows.start };
  const windowElements = Math.floor(windowBytes / elementBytes);
  const buffer = new Uint8Array(Math.min(windowElements, region.rows * region.columns) * elementBytes);
  for (const tile of tilesOf(region, windowElements)) {
    const bytes = buffer.subarray(0, tile.rows * tile.columns * elementBytes);
    readTile(tile, columnStride, elementBytes, bytes, read);
    transposeInto(target, columns, elementBytes, bytes, { ...tile, column: tile.column - region.column });
  }
}

/**
 * Reads a matrix of any other strides (every second column, one value for a whole row): runs along the dimension whose
 * elements lie closer, and as many of them at once as fit into the window, are read with what lies between them.
 */
function readScattered(
  { columns, rowStride, columnStride, elementBytes }: Matrix,
  rows: RowRange,
  target: Uint8Array,
  windowBytes: number,
  read: Read,
): void {
  const alongRow: Axis = { count: columns, stride: columnStride, targetStride: 1 };
  const alongColumn: Axis = { count: rows.end - rows.start, stride: rowStride, targetStride: columns };
  const [inner, outer] = columnStride <= rowStride ? [alongRow, alongColumn] : [alongColumn, alongRow];
  const windowElements = Math.floor(windowBytes / elementBytes);
  const gapElements = MAX_GAP_BYTES / elementBytes;
  const first = rows.start * rowStride * elementBytes;

  const innerRun = runLength(inner, 1, windowElements, gapElements);
  const innerSpan = spanOf(inner, innerRun, 1);
  const outerRun = innerRun < inner.count ? 1 : runLength(outer, innerSpan, windowElements, gapElements);
  const buffer = new Uint8Array(spanOf(outer, outerRun, innerSpan) * elementBytes);
  for (let o = 0; o < outer.count; o += outerRun) {
    const outerCount = Math.min(outerRun, outer.count - o);
    for (let i = 0; i < inner.count; i += innerRun) {
      const innerCount = Math.min(innerRun, inner.count - i);
      const span = spanOf(outer, outerCount, spanOf(inner, innerCount, 1));
      const part = buffer.subarray(0, span * elementBytes);
      const position = first + (o * outer.stride + i * inner.stride) * elementBytes;
      read(part, position, outerCount * innerCount * elementBytes);
      gatherInto(
        target,
        o * outer.targetStride + i * inner.targetStride,
        part,
        { ...outer, count: outerCount },
        { ...inner, count: innerCount },
        elementBytes,
      );
    }
  }
}

/** A dimension: its elements, and the distance from one to the next in the file and in the target. */
interface Axis {
  count: number;
  stride: number;
  targetStride: number;
}

/** How many of an axis' indices are read at once, each taking `span` elements: those that are near and fit. */
function runLength(
  { count, stride }: Axis,
  span: number,
  windowElements: number,
  gapElements: number,
): number {
  if (stride === 0) {
    return count;
  }
  if (stride - span > gapElements) {
    return 1;
  }
  return Math.min(count, Math.max(1, Math.floor((windowElements - span) / stride) + 1));
}

/** Elements from the first to the last of `count` indices that take `span` elements each. */
function spanOf({ stride }: Axis, count: number, span: number): number {
  return count === 0 ? 0 : (count - 1) * stride + span;
}

/** Cuts a region into tiles of at most `maxElements`: whole rows while one fits, else pieces of one row. */
function* tilesOf(region: Tile, maxElements: number): Generator<Tile> {
  const columns = Math.min(region.columns, maxElements);
  const rows = columns === 0 ? region.rows : Math.max(1, Math.floor(maxElements / columns));
  for (let r = 0; r < region.rows; r += rows) {
    for (let c = 0; c < region.columns; c += columns) {
      yield {
        row: region.row + r,
        rows: Math.min(rows, region.rows - r),
        column: region.column + c,
        columns: Math.min(columns, region.columns - c),
      };
    }
  }
}

/** Reads a tile: at once when it has whole stored rows without gaps, else row by row. */
function readTile(
  tile: Tile,
  storedStride: number,
  elementBytes: number,
  bytes: Uint8Array,
  read: Read,
): void {
  const position = (tile.row * storedStride + tile.column) * elementBytes;
  if (tile.columns === storedStride) {
    read(bytes, position);
    return;
  }
  const rowBytes = tile.columns * elementBytes;
  for (let r = 0; r < tile.rows; r++) {
    const part = bytes.subarray(r * rowBytes, (r + 1) * rowBytes);
    read(part, position + r * storedStride * elementBytes);
  }
}

/**
 * Moves a tile of the stored (transposed) matrix to its places in the target. Elements are moved as integers, so that
 * no bit pattern changes (a NaN moved as a float may); those of 8 bytes as two words.
 */
function transposeInto(
  target: Uint8Array,
  targetColumns: number,
  elementBytes: number,
  bytes: Uint8Array,
  tile: Tile,
): void {
  const to = wordsOf(target, elementBytes);
  const from = wordsOf(bytes, elementBytes);
  const words = elementBytes === 8 ? 2 : 1;
  for (let block = 0; block < tile.rows; block += COLUMN_BLOCK) {
    const blockEnd = Math.min(tile.rows, block + COLUMN_BLOCK);
    for (let c = 0; c < tile.columns; c++) {
      for (let word = 0; word < words; word++) {
        let source = (block * tile.columns + c) * words + word;
        let destination = ((tile.column + c) * targetColumns + tile.row + block) * words + word;
        for (let r = block; r < blockEnd; r++) {
          to[destination] = from[source];
          source += tile.columns * words;
          destination += words;
        }
      }
    }
  }
}

/** Moves what a read brought to its places in the target, as integers like transposeInto. */
function gatherInto(
  target: Uint8Array,
  targetStart: number,
  bytes: Uint8Array,
  outer: Axis,
  inner: Axis,
  elementBytes: number,
): void {
  const to = wordsOf(target, elementBytes);
  const from = wordsOf(bytes, elementBytes);
  const words = elementBytes === 8 ? 2 : 1;
  for (let o = 0; o < outer.count; o++) {
    for (let word = 0; word < words; word++) {
      let source = o * outer.stride * words + word;
      let destination = (targetStart + o * outer.targetStride) * words + word;
      for (let i = 0; i < inner.count; i++) {
        to[destination] = from[source];
        source += inner.stride * words;
        destination += inner.targetStride * words;
      }
    }
  }
}

function wordsOf(bytes: Uint8Array, elementBytes: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  if (elementBytes === 1) {
    return bytes;
  }
  if (elementBytes === 2) {
    return new Uint16Array(buffer, byteOffset, byteLength / 2);
  }
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}
