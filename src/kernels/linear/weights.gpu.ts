/** How a weight matrix lies in GPU memory: as in the checkpoint, row by row, each padded with zeros to whole chunks. */

export type WeightFormat = "bf16" | "f16" | "f32";

export interface WeightShape {
  format: WeightFormat;
  columns: number;
}

/** What one load of an invocation brings: vec4<u32>. */
export const CHUNK_BYTES = 16;

export function bytesPerWeight(format: WeightFormat): 2 | 4 {
  return format === "f32" ? 4 : 2;
}

/** Chunks of a row. */
export function chunksOf({ format, columns }: WeightShape): number {
  return Math.ceil((columns * bytesPerWeight(format)) / CHUNK_BYTES);
}

/** Bytes from one row to the next. */
export function rowStride(shape: WeightShape): number {
  return chunksOf(shape) * CHUNK_BYTES;
}

/** The columns fill whole chunks, so that kernels read x without looking. */
export function isAligned(shape: WeightShape): boolean {
  return (shape.columns * bytesPerWeight(shape.format)) % CHUNK_BYTES === 0;
}
