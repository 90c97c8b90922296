import { CHUNK_BYTES, chunksOf, isQuantized, rowStride, type FormatName } from "../../src/kernels/format.ts";
import { randomMatrix } from "./numbers.ts";
import { randomRows, type LaidMatrix } from "./quantized-rows.ts";

/** A matrix as the loader lays it out for the GPU: every row padded with zeros. */
export function gpuWeights({ format, rows, columns, bytes, scales }: LaidMatrix): Uint8Array {
  if (isQuantized(format)) {
    return bytes;
  }
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

/** A random matrix of any format. `edges`: whether a stored one has numbers from the edges of its format. */
export function randomGpuMatrix(
  format: FormatName,
  rows: number,
  columns: number,
  random: () => number,
  edges = false,
): LaidMatrix {
  return isQuantized(format)
    ? randomRows(format, rows, columns, random)
    : randomMatrix(format, rows, columns, random, edges);
}
