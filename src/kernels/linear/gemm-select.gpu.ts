/** Which kernel multiplies a weight matrix with many token rows: a pure choice from the adapter, the shape and the mode. */
import { ModelComposeError } from "../../base/errors.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import {
  gemmMatrixKernel,
  matrixMemory,
  matrixTileSize,
  matrixWorkgroup,
  piecesPerInvocation,
  type MatrixMode,
  type MatrixTiling,
} from "./gemm-matrix.gpu.ts";
import {
  gemmKernel,
  gemmMemory,
  tileSize,
  type GemmShape,
  type GemmTiling,
  type TileMode,
  type TileSize,
} from "./gemm.gpu.ts";

/**
 * How many token rows are multiplied.
 *
 * - "exact": f32 factors and sums.
 * - "f16": factors rounded to f16, f32 sums. x is scaled by a power of two a row, so that it cannot overflow; weights
 *   beyond 65504 saturate.
 * - "f16-emulated": the arithmetic of "f16" on any adapter, slowly.
 * - "subgroup-matrix": the adapter's matrix units, with the factors of "f16" where they have them, else with f32.
 */
export type GemmMode = TileMode | "subgroup-matrix";

/** A product that matrix units compute: M × K by K × N. */
export interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** What the choice depends on; features are those the device was opened with. */
export interface GemmAdapter {
  /** Name of the adapter, for error messages. */
  name: string;
  shaderF16: boolean;
  /** Products of the matrix units; empty without the feature chromium-experimental-subgroup-matrix. */
  subgroupMatrix: readonly MatrixConfig[];
  /** Invocations of the largest subgroups; 0 without subgroups. */
  subgroupMaxSize: number;
  maxComputeWorkgroupStorageSize: number;
  maxComputeInvocationsPerWorkgroup: number;
}

/** Tiles that take the place of the choice, for experiments. */
export interface ForcedTiling {
  tiling?: GemmTiling;
  matrixTiling?: MatrixTiling;
}

/** The kernel that was chosen, and what its launch needs. */
export interface GemmPlan {
  spec: KernelSpec;
  /** What a workgroup computes, for `gemmWorkgroups`. */
  tile: TileSize;
  /** Whether the kernel reads x as `packKernel` writes it. */
  isPacked: boolean;
}

/** Tiles that keep a large GPU busy: an H200 has 132 cores, of which each runs one or more. */
const ENOUGH_TILES = 128;

/** Large tiles read workgroup memory least for what they compute. */
const TILINGS: readonly Pick<GemmTiling, "rowQuads" | "columnQuads">[] = [
  { rowQuads: 2, columnQuads: 2 },
  { rowQuads: 1, columnQuads: 2 },
  { rowQuads: 1, columnQuads: 1 },
];

/** Subgroups of a workgroup, down and across. */
const SUBGROUP_GRIDS = [
  [2, 4],
  [2, 2],
  [1, 2],
  [1, 1],
] as const;

const USE_EXACT = 'Use the mode "exact", which every adapter has.';

/**
 * The kernel for a shape.
 *
 * @param rows token rows of a usual pass; any number works, this one works best
 * @param count weight rows of one dispatch: those of the largest shard
 * @throws ModelComposeError "unsupported" when the adapter lacks what the mode needs
 */
export function selectGemm(
  adapter: GemmAdapter,
  shape: GemmShape,
  mode: GemmMode,
  { rows, count }: { rows: number; count: number },
  forced: ForcedTiling = {},
): GemmPlan {
  if (mode === "subgroup-matrix") {
    const selected = selectMatrix(adapter);
    const matrixMode = selected.mode;
    const tiling = forced.matrixTiling ?? selected.tiling;
    return {
      spec: gemmMatrixKernel(shape, matrixMode, tiling),
      tile: matrixTileSize(tiling),
      isPacked: matrixMode !== "exact",
    };
  }
  if (mode === "f16" && !adapter.shaderF16) {
    throw new ModelComposeError(
      "unsupported",
      `The mode "f16" of prompt processing needs the WebGPU feature shader-f16; the adapter ${adapter.name} lacks it.`,
      { remedy: USE_EXACT },
    );
  }
  const tiling = forced.tiling ?? selectTiling(adapter, mode, rows, count);
  return { spec: gemmKernel(shape, mode, tiling), tile: tileSize(tiling), isPacked: mode !== "exact" };
}

/** The largest tiles of which there are enough. */
export function selectTiling(
  { maxComputeWorkgroupStorageSize: limit }: Pick<GemmAdapter, "maxComputeWorkgroupStorageSize">,
  mode: TileMode,
  rows: number,
  count: number,
): GemmTiling {
  const tiles = (quads: Pick<GemmTiling, "rowQuads" | "columnQuads">): number =>
    Math.ceil(rows / (64 * quads.rowQuads)) * Math.ceil(count / (64 * quads.columnQuads));
  const quads = TILINGS.find((q) => tiles(q) >= ENOUGH_TILES) ?? TILINGS[TILINGS.length - 1];
  const tiling: GemmTiling = { ...quads, tileK: 16, buffers: 2 };
  // A second buffer saves a barrier, but must not be what keeps a second workgroup off the core.
  return gemmMemory(tiling, mode) * 3 <= limit * 2 ? tiling : { ...tiling, buffers: 1 };
}

function selectMatrix(adapter: GemmAdapter): { mode: MatrixMode; tiling: MatrixTiling } {
  const usable = adapter.subgroupMatrix.filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      resultComponentType === "f32" &&
      ((componentType === "f16" && adapter.shaderF16) || componentType === "f32") &&
      [M, N, K].every((side) => side % 4 === 0),
  );
  const byPreference = usable.toSorted(
    (a, b) =>
      Number(b.componentType === "f16") - Number(a.componentType === "f16") ||
      b.M * b.N * b.K - a.M * a.N * a.K,
  );
  for (const config of byPreference) {
    const mode = config.componentType === "f16" ? "f16" : "exact";
    const tiling = tileMatrices(adapter, config, mode);
    if (tiling !== undefined) {
      return { mode, tiling };
    }
  }
  const offered = adapter.subgroupMatrix.map(
    ({ componentType, resultComponentType, M, N, K }) =>
      `${componentType} → ${resultComponentType} ${M}×${N}×${K}`,
  );
  const found =
    offered.length === 0
      ? "lacks the feature chromium-experimental-subgroup-matrix"
      : `has ${offered.join(", ")}, ${adapter.maxComputeWorkgroupStorageSize} bytes of workgroup memory and workgroups ` +
        `of ${adapter.maxComputeInvocationsPerWorkgroup}`;
  throw new ModelComposeError(
    "unsupported",
    'The mode "subgroup-matrix" of prompt processing needs matrix units that multiply f16 or f32 and add f32; ' +
      `the adapter ${adapter.name} ${found}.`,
    { remedy: USE_EXACT },
  );
}

/** The largest tiles that an adapter's workgroups hold. */
function tileMatrices(
  adapter: GemmAdapter,
  { M, N, K }: MatrixConfig,
  mode: MatrixMode,
): MatrixTiling | undefined {
  const limit = adapter.maxComputeWorkgroupStorageSize;
  for (const [subgroupRows, subgroupColumns] of SUBGROUP_GRIDS) {
    for (const tileK of [32, 16, 8]) {
      const tiling: MatrixTiling = {
        matrixRows: M,
        matrixColumns: N,
        matrixK: K,
        subgroupSize: adapter.subgroupMaxSize,
        subgroupRows,
        subgroupColumns,
        tileK,
        buffers: 1,
      };
      const fits =
        tileK % K === 0 &&
        matrixWorkgroup(tiling) <= adapter.maxComputeInvocationsPerWorkgroup &&
        piecesPerInvocation(tiling) <= 2 &&
        matrixMemory(tiling, mode) <= limit;
      if (!fits) {
        continue;
      }
      const double: MatrixTiling = { ...tiling, buffers: 2 };
      return matrixMemory(double, mode) * 3 <= limit * 2 ? double : tiling;
    }
  }
  return undefined;
}
