import { CHUNK_BYTES, chunksOf, rowStride } from "../../src/kernels/format.ts";
import type { StoredMatrix } from "./numbers.ts";

/** A matrix as the loader lays it out for the GPU: every row padded with zeros. */
export function gpuWeights({ format, rows, columns, bytes, scales }: StoredMatrix): Uint8Array {
  const stride = rowStride({ format, columns });
  const rowBytes = bytes.length / rows;
  const laid = new Uint8Array(rows * stride);
  for (let r = 0; r < rows; r++) {
    laid.set(bytes.subarray(r * rowBytes, (r + 1) * rowBytes), r * stride);
  }
  for (const [r, scale] of (scales ?? []).entries()) {
    const offset = r * stride + chunksOf({ format, columns }) * CHUNK_BYTES;
    new DataView(laid.buffer).setFloat32(offset, scale, true);
  }
  return laid;
}
