/** Quantised weights between a worker's memory and a file of the cache, in which a matrix lies as one worker would have it. */
import { FORMATS, panelBytes, TILE_COLUMNS, tileBytes, type FormatName } from "../../kernels/format.ts";
import { openFile, openFileForWriting } from "../platform/files.ts";
import type { Bank } from "./memory.ts";
import { panelRange, type MatrixPlacement, type MemoryPlan } from "./plan.ts";

/** Bytes of one read, and of one sum: few enough to stay in the L2 cache between the two. */
const CHUNK_BYTES = 2 ** 20;

/** Some tiles of a matrix that follow each other in a memory and in the file. */
interface Part {
  address: number;
  /** Bytes from the matrix's beginning in the file. */
  position: number;
  /** Bytes of a tile. */
  bytes: number;
  count: number;
  /** Number of the first one among all tiles of the matrix. */
  first: number;
}

/** Bytes that a matrix takes in a file. */
export function cachedBytes(format: FormatName, rows: number, columns: number): number {
  return panelRange(rows, 0, 1).end * panelBytes(format, columns);
}

/** The parts of a matrix that worker `index` has: its panels of each block of columns, then the scales of its rows. */
function partsOf({ rows, columns, format, offset }: MatrixPlacement, index: number, threads: number): Part[] {
  const { start, end } = panelRange(rows, index, threads);
  const all = panelRange(rows, 0, 1).end;
  const parts: Part[] = [];
  let [address, position, number] = [offset, 0, 0];
  const add = (bytes: number): void => {
    const count = end - start;
    parts.push({ address, position: position + start * bytes, bytes, count, first: number + start });
    address += count * bytes;
    position += all * bytes;
    number += all;
  };
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    add(tileBytes(format, Math.min(TILE_COLUMNS, columns - from)));
  }
  if (FORMATS[format].grouping?.rowScale !== undefined) {
    add(panelBytes(format, columns) - tileBytes(format, columns));
  }
  return parts;
}

/** Hands out a part in chunks. */
function* chunksOf({ address, position, bytes, count, first }: Part): Generator<Part> {
  const most = Math.max(1, Math.floor(CHUNK_BYTES / bytes));
  for (let done = 0; done < count; done += most) {
    yield {
      address: address + done * bytes,
      position: position + done * bytes,
      bytes,
      count: Math.min(most, count - done),
      first: first + done,
    };
  }
}

/** A worker's parts of the quantised matrices, and where they lie in a file. */
export interface CachedWeights {
  readonly path: string;
  /** Where each matrix begins in the file, in bytes, by name. */
  readonly places: Readonly<Record<string, number>>;
}

/** The sums of this worker's parts, by matrix, to be added to those of its peers. */
export type PartialSums = Record<string, number>;

/** Reads this worker's parts of the matrices that the file has. Throws as `OpenFile.read`; AbortError. */
export function readCachedWeights(
  plan: MemoryPlan,
  index: number,
  banks: readonly Bank[],
  { path, places }: CachedWeights,
  onBytes: (count: number) => void,
  checkStop: () => void,
): PartialSums {
  const file = openFile(path);
  const sums: PartialSums = {};
  try {
    for (const [name, place] of Object.entries(places).sort(([, a], [, b]) => a - b)) {
      const matrix = plan.matrices[name];
      const { u8, kernels } = banks[matrix.bank];
      let sum = 0;
      for (const part of partsOf(matrix, index, plan.threads)) {
        for (const { address, position, bytes, count, first } of chunksOf(part)) {
          checkStop();
          file.read(u8.subarray(address, address + count * bytes), place + position);
          sum = (sum + kernels.checksum(address, bytes, count, first)) | 0;
          onBytes(count * bytes);
        }
      }
      sums[name] = sum;
    }
    return sums;
  } finally {
    file.close();
  }
}

/** Writes this worker's parts of a matrix into the file, and returns their sum. Throws what the system says. */
export function writeCachedMatrix(
  plan: MemoryPlan,
  index: number,
  banks: readonly Bank[],
  { path, places }: CachedWeights,
  name: string,
): number {
  const matrix = plan.matrices[name];
  const { u8, kernels } = banks[matrix.bank];
  const file = openFileForWriting(path);
  try {
    let sum = 0;
    for (const part of partsOf(matrix, index, plan.threads)) {
      for (const { address, position, bytes, count, first } of chunksOf(part)) {
        file.write(u8.subarray(address, address + count * bytes), places[name] + position);
        sum = (sum + kernels.checksum(address, bytes, count, first)) | 0;
      }
    }
    return sum;
  } finally {
    file.close();
  }
}
