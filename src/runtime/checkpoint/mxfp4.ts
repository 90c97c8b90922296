/**
 * MXFP4 (OCP Microscaling Formats 1.0, https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf): groups
 * of 32 numbers of FP4 (E2M1) with one scale, a power of two. Every such number is one of bf16, as which rows are read here.
 */
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import { openFile, type OpenFile } from "../platform/files.ts";
import type { RowRange } from "../program.ts";
import type { Mxfp4Rows, TensorLocation } from "./tensor-location.ts";

/** Numbers that share a scale, and the bytes of their elements: two a byte, the first in the low half. */
export const MXFP4_GROUP = 32;
export const MXFP4_GROUP_BYTES = 16;

/** What E2M1 elements stand for (OCP Microscaling Formats 1.0, table 5). */
export const E2M1: readonly number[] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

export interface ReadMxfp4Options {
  /** Most bytes of elements that one read brings, at least those of a row. */
  windowBytes: number;
  onBytes?: (count: number) => void;
  shouldStop?: () => boolean;
}

/**
 * Fills `target` with rows [start, end) of a matrix as bf16, [end - start][columns].
 *
 * @param file the open file of the elements
 * @throws ModelComposeError "invalid-argument" for a range or target that does not fit, "invalid-checkpoint" when a file ends early,
 *   "not-found" without the file of the scales; AbortError
 */
export function readMxfp4Rows(
  file: OpenFile,
  tensor: TensorLocation & { mxfp4: Mxfp4Rows },
  { start, end }: RowRange,
  target: Uint8Array,
  { windowBytes, onBytes, shouldStop }: ReadMxfp4Options,
): void {
  const [rows, columns] = tensor.shape;
  const { mxfp4 } = tensor;
  const [rowBytes, groups] = [columns / 2, columns / MXFP4_GROUP];
  const expected = (end - start) * columns * 2;
  if (!(start >= 0 && start <= end && end <= rows) || target.byteLength !== expected) {
    throw new ModelComposeError(
      "invalid-argument",
      `Reading tensor "${tensor.name}": rows [${start}, ${end}) of ${rows} were asked for, to ${target.byteLength} bytes; ` +
        `expected a range within them, and ${expected} bytes.`,
    );
  }
  const scalesFile = mxfp4.scales.file === tensor.file ? file : openFile(mxfp4.scales.file);
  try {
    const { rowStride, scales } = mxfp4;
    const most = Math.max(1, Math.floor((windowBytes - rowBytes) / rowStride) + 1);
    const spanOf = (count: number, stride: number, bytes: number): number => (count - 1) * stride + bytes;
    for (let row = start; row < end; row += most) {
      const count = Math.min(most, end - row);
      if (shouldStop?.() === true) {
        throw new AbortError();
      }
      const elements = new Uint8Array(spanOf(count, rowStride, rowBytes));
      const exponents = new Uint8Array(spanOf(count, scales.rowStride, groups));
      file.read(elements, tensor.offset + row * rowStride);
      scalesFile.read(exponents, scales.offset + row * scales.rowStride);
      const words = new Uint16Array(count * columns);
      for (let r = 0; r < count; r++) {
        widenRow(
          elements.subarray(r * rowStride, r * rowStride + rowBytes),
          exponents.subarray(r * scales.rowStride, r * scales.rowStride + groups),
          words.subarray(r * columns, (r + 1) * columns),
        );
      }
      target.set(new Uint8Array(words.buffer), (row - start) * columns * 2);
      onBytes?.(count * columns * 2);
    }
  } finally {
    if (scalesFile !== file) {
      scalesFile.close();
    }
  }
}

/** Widens a row's elements, two a byte, to the bits of bf16. */
function widenRow(elements: Uint8Array, scales: Uint8Array, words: Uint16Array): void {
  let at = 0;
  for (const [g, scale] of scales.entries()) {
    const table = scale * 16;
    const end = (g + 1) * MXFP4_GROUP_BYTES;
    for (let i = g * MXFP4_GROUP_BYTES; i < end; i++) {
      const pair = elements[i];
      words[at++] = WIDENED[table + (pair & 15)];
      words[at++] = WIDENED[table + (pair >> 4)];
    }
  }
}

/** The bits of bf16 of each element with each scale, [256][16]. */
const WIDENED = widened();

function widened(): Uint16Array {
  const values = Float32Array.from({ length: 256 * 16 }, (_, i) => {
    const scale = i >> 4;
    // The largest byte is no number; beyond bf16 there is infinity.
    return scale === 255 ? NaN : E2M1[i & 15] * 2 ** (scale - 127);
  });
  const words = new Uint32Array(values.buffer);
  return Uint16Array.from(words, (word) => word >>> 16);
}
