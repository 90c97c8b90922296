/**
 * Reads rows of a weight matrix from a checkpoint file into device memory, in the layout a kernel wants.
 * Synchronous: it runs inside the worker thread that owns the rows. No more than a bounded window of the file is
 * ever in memory besides the target itself.
 */
import { AbortError, ModelComposeError } from "./errors.ts";
import type { OpenFile } from "./platform/files.ts";
import { bytesPerElement, type TensorLocation } from "./safetensors.ts";

/**
 * From the file's layout to the target's; without one, bytes go from file to target as they are. Elements are moved,
 * never converted. (Packing into a kernel's layout is the device's: it packs what a window brought.)
 */
export interface WeightTransform {
  /** The file holds the matrix transposed, [columns, rows]: the target's row r is the file's column r. */
  transpose?: boolean;
}

/** Half-open range of rows. */
export interface RowRange {
  start: number;
  end: number;
}

export interface ReadRowsOptions {
  transform?: WeightTransform;
  /** Upper bound on the intermediate buffer, and on one read. Default 4 MiB. */
  windowBytes?: number;
  /** Called after every read with the number of bytes it took from the file. */
  onBytes?: (count: number) => void;
  /** Asked before every read; true ends the call with an AbortError. */
  shouldStop?: () => boolean;
}

export const DEFAULT_WINDOW_BYTES = 4 * 2 ** 20;

/** The transposing loop walks this many stored rows of all columns before the next, to stay within the L1 cache. */
const COLUMN_BLOCK = 256;

/** A matrix by its logical extent (the target's rows and columns) and the width of its elements. */
interface Matrix {
  rows: number;
  columns: number;
  elementBytes: number;
}

/** Part of the matrix as stored in the file: stored rows [row, row + rows), stored columns likewise. */
interface Tile {
  row: number;
  rows: number;
  column: number;
  columns: number;
}

/**
 * Fills `target` with rows [start, end) of a matrix [rows, columns], or of a vector taken as [rows, 1].
 * `target` must have exactly their bytes and, with a transform, begin at a multiple of the element
 * size (at most 4). It may be a view on a WebAssembly memory.
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
  const matrix = matrixOf(tensor, transform);
  checkArguments(tensor, matrix, rows, target, transform, windowBytes);
  const { columns, elementBytes } = matrix;
  const read = (part: Uint8Array, offset: number): void => {
    if (shouldStop?.()) throw new AbortError();
    file.read(part, tensor.offset + offset);
    onBytes?.(part.byteLength);
  };

  if (!transform.transpose) {
    const first = rows.start * columns * elementBytes;
    for (let done = 0; done < target.byteLength; done += windowBytes) {
      read(target.subarray(done, done + windowBytes), first + done);
    }
    return;
  }

  const region: Tile = { row: 0, rows: columns, column: rows.start, columns: rows.end - rows.start };
  const windowElements = Math.floor(windowBytes / elementBytes);
  const buffer = new Uint8Array(Math.min(windowElements, region.rows * region.columns) * elementBytes);
  for (const tile of tilesOf(region, windowElements)) {
    const bytes = buffer.subarray(0, tile.rows * tile.columns * elementBytes);
    readTile(tile, matrix.rows, elementBytes, bytes, read);
    transposeInto(target, columns, elementBytes, bytes, { ...tile, column: tile.column - region.column });
  }
}

function matrixOf(tensor: TensorLocation, transform: WeightTransform): Matrix {
  const [first, second = 1] = tensor.shape;
  if (first === undefined || tensor.shape.length > 2) {
    throw new ModelComposeError(
      "invalid-argument",
      `Tensor "${tensor.name}" has shape [${tensor.shape.join(", ")}]; rows are read of one or two dimensions.`,
    );
  }
  const elementBytes = bytesPerElement(tensor.dtype);
  return transform.transpose
    ? { rows: second, columns: first, elementBytes }
    : { rows: first, columns: second, elementBytes };
}

function checkArguments(
  tensor: TensorLocation,
  matrix: Matrix,
  { start, end }: RowRange,
  target: Uint8Array,
  transform: WeightTransform,
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
  if (transform.transpose && target.byteOffset % alignment !== 0) {
    fail(`the target begins at byte ${target.byteOffset}; expected a multiple of ${alignment}`);
  }
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

/** One read when the tile has whole stored rows, else one for each of its rows. */
function readTile(
  tile: Tile,
  storedColumns: number,
  elementBytes: number,
  bytes: Uint8Array,
  read: (part: Uint8Array, offset: number) => void,
): void {
  const offset = (tile.row * storedColumns + tile.column) * elementBytes;
  if (tile.columns === storedColumns) {
    read(bytes, offset);
    return;
  }
  const rowBytes = tile.columns * elementBytes;
  for (let r = 0; r < tile.rows; r++) {
    read(bytes.subarray(r * rowBytes, (r + 1) * rowBytes), offset + r * storedColumns * elementBytes);
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

function wordsOf(bytes: Uint8Array, elementBytes: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  if (elementBytes === 1) return bytes;
  if (elementBytes === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}
