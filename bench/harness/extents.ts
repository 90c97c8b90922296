/** Which bytes of which files a model's weights are, and who reads them. */
import type { TensorLocation } from "../../src/runtime/checkpoint/tensor-location.ts";

/** `length` bytes of a file from `offset` on. */
export interface Extent {
  file: string;
  offset: number;
  length: number;
}

/** The bytes of the tensors, in the order of the files; neighbours are joined. */
export function weightExtents(
  tensors: Iterable<Pick<TensorLocation, "file" | "offset" | "byteLength">>,
): Extent[] {
  const sorted = [...tensors].sort((a, b) =>
    a.file === b.file ? a.offset - b.offset : a.file < b.file ? -1 : 1,
  );
  const extents: Extent[] = [];
  for (const { file, offset, byteLength } of sorted) {
    const last = extents.at(-1);
    if (last?.file === file && last.offset + last.length === offset) {
      last.length += byteLength;
    } else {
      extents.push({ file, offset, length: byteLength });
    }
  }
  return extents;
}

/** The part of every extent that reader `index` of `readers` reads. The parts of all readers are the whole. */
export function shareOf(extents: readonly Extent[], index: number, readers: number): Extent[] {
  return extents
    .map(({ file, offset, length }) => {
      const start = Math.floor((index * length) / readers);
      const end = Math.floor(((index + 1) * length) / readers);
      return { file, offset: offset + start, length: end - start };
    })
    .filter(({ length }) => length > 0);
}

export function totalBytes(extents: readonly Extent[]): number {
  return extents.reduce((sum, { length }) => sum + length, 0);
}
