/** The product of a weight matrix with many token rows; see gemm.wgsl. */
import type { Activation } from "../activate/activation.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";
import type { ShaderConstants } from "../wgsl/preprocess.ts";
import { packedWords, weightQuadConstants } from "./gemm-pack.gpu.ts";
import type { WeightShape } from "../format.ts";

/** The matrix, and what becomes of the product. */
export interface GemmShape extends WeightShape {
  /** Columns of the output buffer: the rows of the whole matrix, of all its shards. */
  outputColumns: number;
  bias: boolean;
  /** Whether the product is added to the output. */
  accumulate: boolean;
  /** The activation of the product; not with `accumulate`. */
  activation?: Activation;
  /**
   * Whether every shard begins at a multiple of 4 output columns and has a multiple of 4 of them, as the whole has: the
   * output is then written four numbers at a time.
   */
  quads: boolean;
  /** Rows that the buffer of rows has room for. */
  maxRows: number;
}

/** "f16-emulated" is the arithmetic of "f16" on adapters without the feature shader-f16: for comparisons, not for speed. */
export type TileMode = "exact" | "f16" | "f16-emulated";

/** How a workgroup goes through x and weight. */
export interface GemmTiling {
  /** Rows and columns of a workgroup's tile, in units of 64. */
  rowQuads: 1 | 2;
  columnQuads: 1 | 2;
  /** Columns of x and weight in workgroup memory at a time; a multiple of 4. */
  tileK: number;
  /** Buffers of tiles in workgroup memory. 2: the next tiles are written while the current ones are read. */
  buffers: 1 | 2;
}

/** Rows and columns of output that a workgroup computes. */
export interface TileSize {
  rows: number;
  columns: number;
}

export function tileSize({ rowQuads, columnQuads }: GemmTiling): TileSize {
  return { rows: 64 * rowQuads, columns: 64 * columnQuads };
}

/** Bytes of workgroup memory that the kernel takes. */
export function gemmMemory(tiling: GemmTiling, mode: TileMode): number {
  const { rows, columns } = tileSize(tiling);
  return tiling.buffers * tiling.tileK * (rows + columns) * (mode === "f16" ? 2 : 4);
}

/** The constants of product-output.wgsl. */
export function outputConstants({
  outputColumns,
  bias,
  accumulate,
  activation,
  quads,
  maxRows,
}: GemmShape): ShaderConstants {
  return {
    BIAS: bias,
    ACCUMULATE: accumulate,
    VECTOR_OUTPUT: quads,
    OUTPUT_COLUMNS: outputColumns,
    MAX_ROWS: maxRows,
    ACTIVATION: activation ?? "none",
  };
}

/** The constants of gemm-memory.wgsl. */
export function productConstants(shape: GemmShape, mode: TileMode): ShaderConstants {
  const { columns } = shape;
  return {
    MODE: mode,
    ...outputConstants(shape),
    ...weightQuadConstants(shape),
    WEIGHT_BINDING: 2,
    INPUT_QUADS: Math.ceil(columns / 4),
    ...(mode === "exact"
      ? { COLUMNS: columns, VECTOR_INPUT: columns % 4 === 0 }
      : { PACKED_QUADS: packedWords(columns) / 2 }),
  };
}

/**
 * The kernel of output [R, outputColumns] f32 from x [R, columns] and weight [count, columns].
 *
 * Buffers: x (f32; in the f16 modes what packKernel wrote), vectors, weight, output, rows, params.
 */
export function gemmKernel(shape: GemmShape, mode: TileMode, tiling: GemmTiling): KernelSpec {
  const { rowQuads, columnQuads, tileK, buffers } = tiling;
  return {
    name: `gemm ${mode}`,
    source: "linear/gemm.wgsl",
    constants: {
      ...productConstants(shape, mode),
      ROW_QUADS: rowQuads,
      COLUMN_QUADS: columnQuads,
      TILE_K: tileK,
      BUFFERS: buffers,
    },
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}

/** The scalars of the kernel. */
export interface GemmParams {
  /** Where the bias of the whole matrix begins in the buffer of vectors, in numbers. */
  bias: number;
  /** First weight row of the shard, which is an output column; the shard has `count` rows. */
  first: number;
  count: number;
}

export function gemmParams({ bias, first, count }: GemmParams): Uint32Array {
  return params("u32", bias, "u32", first, "u32", count);
}

/** Whether GemmShape.quads holds for a matrix and its shards. */
export function inQuads(outputColumns: number, shards: readonly { first: number; count: number }[]): boolean {
  return outputColumns % 4 === 0 && shards.every(({ first, count }) => first % 4 === 0 && count % 4 === 0);
}

/**
 * Workgroups of one dispatch over R rows and the `count` weight rows of a shard; y is used where x is not enough.
 *
 * @param maxPerDimension the limit maxComputeWorkgroupsPerDimension, 65535 everywhere
 */
export function gemmWorkgroups(
  rows: number,
  count: number,
  tile: TileSize,
  maxPerDimension: number,
): [number, number] {
  const tiles = Math.ceil(rows / tile.rows) * Math.ceil(count / tile.columns);
  const y = Math.max(1, Math.ceil(tiles / maxPerDimension));
  return [Math.ceil(tiles / y), y];
}
