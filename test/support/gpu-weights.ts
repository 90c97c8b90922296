import { rowStride } from "../../src/kernels/linear/weights.gpu.ts";
import type { StoredMatrix } from "./numbers.ts";

/** A matrix as the loader lays it out for the GPU: every row padded with zeros. */
export function gpuWeights({ format, rows, columns, bytes }: StoredMatrix): Uint8Array {
  const stride = rowStride({ format, columns });
  const rowBytes = bytes.length / rows;
  const laid = new Uint8Array(rows * stride);
  for (let r = 0; r < rows; r++) {
    laid.set(bytes.subarray(r * rowBytes, (r + 1) * rowBytes), r * stride);
  }
  return laid;
}
