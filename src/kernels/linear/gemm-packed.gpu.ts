/** The product of a weight matrix with many token rows on matrix units, both packed as f16; see gemm-packed.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";
import { outputConstants, type GemmShape, type TileSize } from "./gemm.gpu.ts";
import { termWords, type Terms } from "./gemm-pack.gpu.ts";

/** How the product is cut into subgroup matrices, and these into tiles. */
export interface PackedTiling {
  /** Sides of the product of two subgroup matrices, rows × k by k × columns; multiples of 4. */
  matrixRows: number;
  matrixColumns: number;
  matrixK: number;
  /** Invocations of the largest subgroups that the adapter runs. */
  subgroupSize: number;
  /** Subgroups of a workgroup, down and across. */
  subgroupRows: number;
  subgroupColumns: number;
  /** Matrices of the product that a subgroup computes, down and across. */
  rowMatrices: number;
  columnMatrices: number;
  /** Columns of x and weight in workgroup memory at a time: 16, 32 or 64, a multiple of matrixK. */
  tileK: number;
  /** Buffers of tiles in workgroup memory. 2: the next tiles are written while the current ones are read. */
  buffers: 1 | 2;
  /**
   * After how many columns the units' sums are added up in f32 arithmetic that rounds, a multiple of tileK; 0: never, they add
   * up all columns themselves.
   */
  flush: number;
}

export function packedWorkgroup({ subgroupSize, subgroupRows, subgroupColumns }: PackedTiling): number {
  return subgroupSize * subgroupRows * subgroupColumns;
}

export function packedTileSize(tiling: PackedTiling): TileSize {
  return {
    rows: tiling.subgroupRows * tiling.rowMatrices * tiling.matrixRows,
    columns: tiling.subgroupColumns * tiling.columnMatrices * tiling.matrixColumns,
  };
}

/**
 * Bytes of workgroup memory that the kernel takes.
 *
 * @param emulated whether matrices are computed with plain arithmetic, on tiles of f32
 */
export function packedMemory(tiling: PackedTiling, terms: Terms, emulated = false): number {
  const { rows, columns } = packedTileSize(tiling);
  const { subgroupRows, subgroupColumns, columnMatrices, matrixRows, matrixColumns } = tiling;
  const results = subgroupRows * subgroupColumns * columnMatrices * matrixRows * matrixColumns * 4;
  return tiling.buffers * (terms * rows + columns) * (tiling.tileK * 2 + 16) * (emulated ? 2 : 1) + results;
}

/**
 * The kernel of output [R, outputColumns] f32 from x [R, columns] and weight [count, columns]. It needs the features
 * shader-f16, subgroups and chromium-experimental-subgroup-matrix.
 *
 * Buffers: x and weight as `packKernel` and `packWeightKernel` write them, `packedMatrixWords` long, in the places of those of
 * `gemmKernel`; vectors, output, rows, params as there.
 *
 * @param terms how many halves stand for a number of x
 * @param emulated whether to compute the same with plain arithmetic, for tests on adapters without matrix units
 */
export function gemmPackedKernel(
  shape: GemmShape,
  terms: Terms,
  tiling: PackedTiling,
  emulated = false,
): KernelSpec {
  const { rows, columns } = packedTileSize(tiling);
  const loads = (lines: number): number => Math.ceil((lines * tiling.tileK) / 8 / packedWorkgroup(tiling));
  return {
    name: terms === 2 ? "gemm split" : "gemm packed",
    source: "linear/gemm-packed.wgsl",
    constants: {
      MODE: "f16",
      ...outputConstants(shape),
      TERMS: terms,
      TERM_WORDS: termWords(shape.columns),
      MATRIX_ROWS: tiling.matrixRows,
      MATRIX_COLUMNS: tiling.matrixColumns,
      MATRIX_K: tiling.matrixK,
      SUBGROUP_SIZE: tiling.subgroupSize,
      SUBGROUP_ROWS: tiling.subgroupRows,
      SUBGROUP_COLUMNS: tiling.subgroupColumns,
      ROW_MATRICES: tiling.rowMatrices,
      COLUMN_MATRICES: tiling.columnMatrices,
      TILE_K: tiling.tileK,
      BUFFERS: tiling.buffers,
      FLUSH: tiling.flush,
      X_LOADS: loads(terms * rows),
      WEIGHT_LOADS: loads(columns),
      EMULATED: emulated,
    },
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}
