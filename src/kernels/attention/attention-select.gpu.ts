/** Which kernel attends for blocks of rows: a pure choice from the shape and the adapter. */
import { halfUnits, type UnitsAdapter } from "../common/matrix-units.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import {
  attentionBlockKernel,
  attentionBlockWorkgroups,
  attentionTileRows,
  type AttentionShape,
} from "./attention.gpu.ts";
import {
  attentionMatrixKernel,
  attentionMatrixMemory,
  attentionMatrixTileRows,
  attentionMatrixWorkgroup,
  attentionMatrixWorkgroups,
  isWhole,
  type AttentionTiling,
} from "./block-matrix.gpu.ts";

/** The kernel that was chosen, and what its launch needs. */
export interface BlockAttention {
  spec: KernelSpec;
  /** The most rows of a tile of `attentionTiles`. */
  tileRows: number;
  /** The workgroups for so many tiles. */
  workgroups: (tiles: number) => [number, number];
}

/** Takes the place of the choice, for experiments and tests. */
export interface ForcedAttention {
  tiling: AttentionTiling;
  /** Whether to compute what matrix units would, on any adapter. */
  emulated?: boolean;
}

type Cut = Pick<AttentionTiling, "queries" | "keys" | "subgroupRows" | "subgroupColumns" | "prefetch">;

/**
 * From the best to the smallest. More queries read keys and values less often, more keys pass fewer barriers, more subgroups
 * have fewer registers' worth each of the output.
 */
const CUTS: readonly Cut[] = [
  { queries: 64, keys: 32, subgroupRows: 4, subgroupColumns: 1, prefetch: true },
  { queries: 64, keys: 32, subgroupRows: 4, subgroupColumns: 2, prefetch: false },
  { queries: 64, keys: 16, subgroupRows: 4, subgroupColumns: 1, prefetch: true },
  { queries: 64, keys: 16, subgroupRows: 4, subgroupColumns: 2, prefetch: false },
  { queries: 32, keys: 32, subgroupRows: 2, subgroupColumns: 1, prefetch: true },
  { queries: 32, keys: 16, subgroupRows: 2, subgroupColumns: 1, prefetch: true },
  { queries: 16, keys: 16, subgroupRows: 1, subgroupColumns: 1, prefetch: true },
];

/** Registers of an invocation that its queries and its part of the output may take: half of what NVIDIA's have. */
const MOST_HELD = 128;

/**
 * The kernel for blocks of rows of a shape: block-matrix.wgsl where matrix units may be used, the adapter has such that
 * multiply f16 and add f32, they divide the heads and scores have no biases; else block.wgsl, in f32.
 *
 * @param maxRows the most rows of a pass
 * @param adapter the adapter whose matrix units may be used; undefined where none may be
 * @param forced the tiling of the matrix units instead of the choice
 * @throws RangeError for a shape that no kernel is written for
 */
export function selectBlockAttention(
  shape: AttentionShape,
  maxRows: number,
  adapter?: UnitsAdapter,
  forced?: ForcedAttention,
): BlockAttention {
  const chosen =
    adapter === undefined ? undefined : (forced?.tiling ?? selectAttentionTiling(adapter, shape));
  const emulated = forced?.emulated === true;
  const tiling = emulated ? forced.tiling : chosen;
  if (tiling === undefined || shape.bias !== undefined) {
    return {
      spec: attentionBlockKernel(shape, maxRows),
      tileRows: attentionTileRows(shape),
      workgroups: (tiles) => attentionBlockWorkgroups(shape, tiles),
    };
  }
  return {
    spec: attentionMatrixKernel(shape, maxRows, tiling, emulated),
    tileRows: attentionMatrixTileRows(shape, tiling),
    workgroups: (tiles) => attentionMatrixWorkgroups(shape, tiling, tiles),
  };
}

/** The best tiling of the adapter's matrix units for a shape; undefined where none fits. */
export function selectAttentionTiling(
  adapter: UnitsAdapter,
  shape: AttentionShape,
): AttentionTiling | undefined {
  const units = halfUnits(adapter);
  const tilings = CUTS.flatMap((cut) =>
    units.map(({ M, N, K }): AttentionTiling => ({
      matrixRows: M,
      matrixColumns: N,
      matrixK: K,
      subgroupSize: adapter.subgroupMaxSize,
      scorePadding: 8,
      ...cut,
    })),
  );
  return tilings.find(
    (tiling) =>
      isWhole(shape, tiling) &&
      heldRegisters(shape, tiling) <= MOST_HELD &&
      attentionMatrixWorkgroup(tiling) <= adapter.maxComputeInvocationsPerWorkgroup &&
      attentionMatrixMemory(shape, tiling) <= adapter.maxComputeWorkgroupStorageSize,
  );
}

/** Words of an invocation's queries (halves) and its part of the output. */
function heldRegisters(
  { headDim }: AttentionShape,
  { queries, subgroupRows, subgroupColumns, subgroupSize }: AttentionTiling,
): number {
  const rows = queries / subgroupRows;
  return (rows * (headDim / 2 + headDim / subgroupColumns)) / subgroupSize;
}
