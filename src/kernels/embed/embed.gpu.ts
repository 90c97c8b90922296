import { chunksOf, rowStride, type WeightShape } from "../format.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";
import type { ShaderConstants } from "../wgsl/preprocess.ts";

/**
 * Rows of an embedding table; one workgroup a token row. Buffers: rows, table, output, (positions), params.
 *
 * @param hasPositions learned positions are added: a table of the same format and width, whole
 */
export function embedKernel(shape: WeightShape, maxRows: number, hasPositions: boolean): KernelSpec {
  return {
    name: hasPositions ? "embed + positions" : "embed",
    source: "embed/embed.wgsl",
    constants: { ...tableConstants(shape, maxRows), POSITIONS: hasPositions },
    bindings: ["read", "read", "write", ...(hasPositions ? (["read"] as const) : []), "uniform"],
  };
}

export interface EmbedParams {
  /** The shard: its first token and their number. */
  first: number;
  count: number;
  scale: number;
  /** Added to a row's position. */
  offset: number;
}

export function embedParams({ first, count, scale, offset }: EmbedParams): Uint32Array {
  return params("u32", first, "u32", count, "f32", scale, "u32", offset);
}

/** Adds the rows of a table of learned positions; one workgroup a token row. Buffers: rows, table, output, params. */
export function positionsKernel(shape: WeightShape, maxRows: number): KernelSpec {
  return {
    name: "positions",
    source: "embed/positions.wgsl",
    constants: tableConstants(shape, maxRows),
    bindings: ["read", "read", "write", "uniform"],
  };
}

/** The shard: its first row and their number; `offset` is added to a row's position. */
export function positionsParams({ first, count, offset }: Omit<EmbedParams, "scale">): Uint32Array {
  return params("u32", first, "u32", count, "u32", offset);
}

function tableConstants(shape: WeightShape, maxRows: number): ShaderConstants {
  return {
    FORMAT: shape.format,
    COLUMNS: shape.columns,
    CHUNKS: chunksOf(shape),
    STRIDE: rowStride(shape) / 4,
    WORKGROUP: 256,
    MAX_ROWS: maxRows,
  };
}
