import { chunksOf, type WeightShape } from "../linear/weights.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** Rows of an embedding table; one workgroup a token row. Buffers: rows, table, output, params. */
export function embedKernel(shape: WeightShape, maxRows: number): KernelSpec {
  return {
    name: "embed",
    source: "embed/embed.wgsl",
    constants: {
      FORMAT: shape.format,
      COLUMNS: shape.columns,
      STRIDE: chunksOf(shape) * 4,
      WORKGROUP: 256,
      MAX_ROWS: maxRows,
    },
    bindings: ["read", "read", "write", "uniform"],
  };
}

/** The shard: its first token and their number. */
export function embedParams(first: number, count: number): Uint32Array {
  return params("u32", first, "u32", count);
}
