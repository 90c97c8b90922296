import { chunksOf, isQuantized, rowStride, type WeightShape } from "../format.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";
import type { ShaderConstants } from "../wgsl/preprocess.ts";

/**
 * The kernel that looks up rows of an embedding table; one workgroup a token row.
 *
 * Buffers: rows (u32), table (a shard of it, as format.ts lays weights out), output [R, columns] f32, positions (with
 * `hasPositions` only), params.
 *
 * @param hasPositions whether learned positions are added: from a table of the same format and width, in one buffer
 */
export function embedKernel(shape: WeightShape, maxRows: number, hasPositions: boolean): KernelSpec {
  return {
    name: hasPositions ? "embed + positions" : "embed",
    source: "embed/embed.wgsl",
    constants: { ...tableConstants(shape, maxRows), POSITIONS: hasPositions },
    bindings: ["read", "read", "write", ...(hasPositions ? (["read"] as const) : []), "uniform"],
  };
}

/** The scalars of the embedding kernel. */
export interface EmbedParams {
  /** First token of the shard, which has `count` tokens. */
  first: number;
  count: number;
  scale: number;
  /** Number that is added to a row's position. */
  offset: number;
}

export function embedParams({ first, count, scale, offset }: EmbedParams): Uint32Array {
  return params("u32", first, "u32", count, "f32", scale, "u32", offset);
}

/**
 * The kernel that adds the rows of a table of learned positions to output [R, columns] f32; one workgroup a token row.
 * Buffers: rows (u32), table, output, params.
 */
export function positionsKernel(shape: WeightShape, maxRows: number): KernelSpec {
  return {
    name: "positions",
    source: "embed/positions.wgsl",
    constants: tableConstants(shape, maxRows),
    bindings: ["read", "read", "write", "uniform"],
  };
}

/**
 * The params of the positions kernel. The shard has `count` rows from `first` on; `offset` is added to a row's
 * position.
 */
export function positionsParams({ first, count, offset }: Omit<EmbedParams, "scale">): Uint32Array {
  return params("u32", first, "u32", count, "u32", offset);
}

function tableConstants(shape: WeightShape, maxRows: number): ShaderConstants {
  return {
    FORMAT: shape.format,
    GROUPED: isQuantized(shape.format),
    COLUMNS: shape.columns,
    CHUNKS: chunksOf(shape),
    STRIDE: rowStride(shape) / 4,
    WORKGROUP: 256,
    MAX_ROWS: maxRows,
  };
}
