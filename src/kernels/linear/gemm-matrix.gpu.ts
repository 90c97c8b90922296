/** The product of a weight matrix with many token rows on matrix units that multiply f32; see gemm-matrix.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";
import { productConstants, type GemmShape, type TileSize } from "./gemm.gpu.ts";

/** How the product is cut into subgroup matrices and tiles of these. */
export interface MatrixTiling {
  /** Sides of the product of two subgroup matrices, rows × k by k × columns; multiples of 4. */
  matrixRows: number;
  matrixColumns: number;
  matrixK: number;
  /** Invocations of the largest subgroups that the adapter runs. */
  subgroupSize: number;
  /** Subgroups of a workgroup, down and across; each has 4 × 2 matrices of the output. */
  subgroupRows: number;
  subgroupColumns: number;
  /** Columns of x and weight in workgroup memory at a time; a multiple of matrixK. */
  tileK: number;
  /** Buffers of tiles in workgroup memory. 2: the next tiles are written while the current ones are read. */
  buffers: 1 | 2;
}

export function matrixWorkgroup({ subgroupSize, subgroupRows, subgroupColumns }: MatrixTiling): number {
  return subgroupSize * subgroupRows * subgroupColumns;
}

export function matrixTileSize(tiling: MatrixTiling): TileSize {
  return {
    rows: 4 * tiling.subgroupRows * tiling.matrixRows,
    columns: 2 * tiling.subgroupColumns * tiling.matrixColumns,
  };
}

/** How many pieces of 4 × 4 an invocation brings to workgroup memory at a time; the kernel has places for two. */
export function piecesPerInvocation(tiling: MatrixTiling): number {
  const { rows, columns } = matrixTileSize(tiling);
  return Math.ceil((((rows + columns) / 4) * (tiling.tileK / 4)) / matrixWorkgroup(tiling));
}

/** Bytes of workgroup memory that the kernel takes. */
export function matrixMemory(tiling: MatrixTiling): number {
  const { rows, columns } = matrixTileSize(tiling);
  const row = tiling.tileK * 4 + 16;
  const results = tiling.subgroupRows * tiling.subgroupColumns * tiling.matrixRows * tiling.matrixColumns * 4;
  return tiling.buffers * (rows + columns) * row + results;
}

/**
 * The kernel of the product on matrix units; its buffers are those of `gemmKernel`. It needs the features subgroups and
 * chromium-experimental-subgroup-matrix.
 *
 * @param emulated whether to compute the same with plain arithmetic, for tests on adapters without matrix units
 */
export function gemmMatrixKernel(shape: GemmShape, tiling: MatrixTiling, emulated = false): KernelSpec {
  const { matrixRows, matrixColumns, matrixK, subgroupSize, subgroupRows, subgroupColumns } = tiling;
  return {
    name: "gemm subgroup-matrix",
    source: "linear/gemm-matrix.wgsl",
    constants: {
      ...productConstants(shape, "exact"),
      MATRIX_ROWS: matrixRows,
      MATRIX_COLUMNS: matrixColumns,
      MATRIX_K: matrixK,
      SUBGROUP_SIZE: subgroupSize,
      SUBGROUP_ROWS: subgroupRows,
      SUBGROUP_COLUMNS: subgroupColumns,
      TILE_K: tiling.tileK,
      BUFFERS: tiling.buffers,
      BRINGS: piecesPerInvocation(tiling),
      EMULATED: emulated,
    },
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}
