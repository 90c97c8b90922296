/** Which kernel multiplies a weight matrix with many token rows: a pure choice from the adapter, the shape and the mode. */
import { ModelComposeError } from "../../base/errors.ts";
import { halfUnits, type MatrixConfig, type UnitsAdapter } from "../common/matrix-units.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import {
  gemmMatrixKernel,
  matrixMemory,
  matrixTileSize,
  matrixWorkgroup,
  piecesPerInvocation,
  type MatrixTiling,
} from "./gemm-matrix.gpu.ts";
import type { Terms } from "./gemm-pack.gpu.ts";
import {
  gemmPackedKernel,
  packedMemory,
  packedTileSize,
  packedWorkgroup,
  type PackedTiling,
} from "./gemm-packed.gpu.ts";
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
 * - "subgroup-matrix": the adapter's matrix units, with factors rounded to f16 where they have them, else with f32.
 * - "split": matrix units that multiply f16, x as the sum of two halves: the accuracy of "exact" for weights of bf16 and f16. Other
 *   weights have more bits than a half; they are multiplied as by "exact".
 * - "split-emulated": the arithmetic of "split" on any adapter, slowly.
 */
export type GemmMode = TileMode | "subgroup-matrix" | "split" | "split-emulated";

/** What the choice depends on; features are those the device was opened with. */
export interface GemmAdapter extends UnitsAdapter {
  /** Name of the adapter, for error messages. */
  name: string;
}

/** Tiles that take the place of the choice, for experiments. */
export interface ForcedTiling {
  tiling?: GemmTiling;
  matrixTiling?: MatrixTiling;
  packedTiling?: PackedTiling;
}

/** A kernel that was chosen. */
export interface GemmChoice {
  spec: KernelSpec;
  /** What a workgroup computes, for `gemmWorkgroups`. */
  tile: TileSize;
  /** The most token rows that it is for. */
  mostRows: number;
}

/** The kernels that were chosen, and what their launch needs. */
export interface GemmPlan {
  /** By rising numbers of rows; the last is for any number. */
  kernels: readonly GemmChoice[];
  /** The halves that stand for a number of x, where kernels read it as `packKernel` writes it. */
  terms: Terms | undefined;
  /** Whether kernels read the weight as `packWeightKernel` writes it. */
  isWeightPacked: boolean;
}

/** Weights whose numbers are halves, up to a power of two a row. */
const HALF_FORMATS: ReadonlySet<string> = new Set(["bf16", "f16"]);

/** After how many columns the sums of "split" are added up where it rounds. */
const SPLIT_FLUSH = 256;

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
  const isSplit = mode === "split" || mode === "split-emulated";
  if (isSplit && !HALF_FORMATS.has(shape.format)) {
    return selectGemm(adapter, shape, "exact", { rows, count }, forced);
  }
  if (isSplit || (mode === "subgroup-matrix" && packedUnits(adapter).length > 0)) {
    const terms = isSplit ? 2 : 1;
    const given = forced.packedTiling ?? (mode === "split-emulated" ? EMULATED_TILING : undefined);
    const tilings =
      given === undefined ? selectPacked(adapter, terms, mode) : [{ tiling: given, mostRows: Infinity }];
    const kernels = tilings.map(({ tiling, mostRows }) => ({
      spec: gemmPackedKernel(shape, terms, tiling, mode === "split-emulated"),
      tile: packedTileSize(tiling),
      mostRows,
    }));
    return { kernels, terms, isWeightPacked: true };
  }
  if (mode === "subgroup-matrix") {
    const tiling = forced.matrixTiling ?? selectMatrix(adapter);
    return plainPlan(gemmMatrixKernel(shape, tiling), matrixTileSize(tiling));
  }
  if (mode === "f16" && !adapter.shaderF16) {
    throw new ModelComposeError(
      "unsupported",
      `The mode "f16" of prompt processing needs the WebGPU feature shader-f16; the adapter ${adapter.name} lacks it.`,
      { remedy: USE_EXACT },
    );
  }
  const tiling = forced.tiling ?? selectTiling(adapter, mode, rows, count);
  return plainPlan(gemmKernel(shape, mode, tiling), tileSize(tiling), mode === "exact" ? undefined : 1);
}

function plainPlan(spec: KernelSpec, tile: TileSize, terms?: Terms): GemmPlan {
  return { kernels: [{ spec, tile, mostRows: Infinity }], terms, isWeightPacked: false };
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
  // A second buffer saves a barrier, but must not be what keeps a second workgroup off the core; an H200 is 14 to 30 % faster
  // without one where tiles of f32 are large.
  const isLarge = mode === "exact" && quads.rowQuads * quads.columnQuads === 4;
  return !isLarge && gemmMemory(tiling, mode) * 3 <= limit * 2 ? tiling : { ...tiling, buffers: 1 };
}

/** The units that compute packed products, the best ones first: their sides divide the tiles'. */
function packedUnits(adapter: GemmAdapter): MatrixConfig[] {
  return halfUnits(adapter)
    .filter(({ M, N, K }) => [M, N, K].every((side) => 32 % side === 0))
    .toSorted((a, b) => Number(isNvidiaUnit(b)) - Number(isNvidiaUnit(a)));
}

/** Only NVIDIA's units have this product, which is what their instruction computes: 8 % faster than 16 × 16 × 16 on an H200. */
function isNvidiaUnit({ M, N, K }: MatrixConfig): boolean {
  return M === 16 && N === 8 && K === 16;
}

/** The most rows for which smaller tiles are taken. */
const FEW_TILE_ROWS = 512;

/**
 * Tiles of packed products, by rising numbers of rows. On an H200, 64 × 128 is the best for few rows; from some 1,000 rows on
 * 128 × 128 is 4 % faster for one half a number, and a third for two.
 */
function selectPacked(
  adapter: GemmAdapter,
  terms: Terms,
  mode: GemmMode,
): { tiling: PackedTiling; mostRows: number }[] {
  for (const unit of packedUnits(adapter)) {
    const small = tilePacked(adapter, unit, terms, SMALL_TILES);
    if (small === undefined) {
      continue;
    }
    const large = tilePacked(adapter, unit, terms, LARGE_TILES);
    return large === undefined
      ? [{ tiling: small, mostRows: Infinity }]
      : [
          { tiling: small, mostRows: FEW_TILE_ROWS },
          { tiling: large, mostRows: Infinity },
        ];
  }
  throw unsupported(adapter, mode, "multiply f16 and add f32");
}

/** Small, for an adapter that computes on the CPU and compiles every matrix apart. */
const EMULATED_TILING: PackedTiling = {
  matrixRows: 16,
  matrixColumns: 16,
  matrixK: 16,
  subgroupSize: 16,
  subgroupRows: 1,
  subgroupColumns: 1,
  rowMatrices: 2,
  columnMatrices: 1,
  tileK: 16,
  buffers: 1,
  flush: SPLIT_FLUSH,
};

/** Subgroups down and across; rows and columns of each; columns of a tile. */
type PackedTile = readonly [down: number, across: number, rows: number, columns: number, tileK: number];
// Four subgroups have too few registers for what sums of two halves add up where they round: half the speed of eight.
const LARGE_TILES: readonly PackedTile[] = [
  [2, 4, 64, 32, 32],
  [2, 2, 64, 64, 32],
];
const SMALL_TILES: readonly PackedTile[] = [
  [2, 4, 32, 32, 64],
  [2, 4, 32, 32, 32],
  [2, 2, 32, 32, 32],
  [1, 2, 32, 32, 32],
  [1, 1, 32, 32, 16],
];

/** The first of some tiles that fits an adapter's workgroups. */
function tilePacked(
  { subgroupMaxSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize }: GemmAdapter,
  { M, N, K }: MatrixConfig,
  terms: Terms,
  tiles: readonly PackedTile[],
): PackedTiling | undefined {
  return tiles
    .map(([subgroupRows, subgroupColumns, rows, columns, tileK]): PackedTiling => ({
      matrixRows: M,
      matrixColumns: N,
      matrixK: K,
      subgroupSize: subgroupMaxSize,
      subgroupRows,
      subgroupColumns,
      rowMatrices: rows / M,
      columnMatrices: columns / N,
      tileK,
      buffers: 1,
      flush: terms === 2 ? SPLIT_FLUSH : 0,
    }))
    .find(
      (tiling) =>
        tiling.tileK % K === 0 &&
        packedWorkgroup(tiling) <= maxComputeInvocationsPerWorkgroup &&
        packedMemory(tiling, terms) <= maxComputeWorkgroupStorageSize,
    );
}

/** What matrix units that multiply f32 compute, where they multiply no f16. */
function selectMatrix(adapter: GemmAdapter): MatrixTiling {
  const usable = adapter.subgroupMatrix.filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      resultComponentType === "f32" && componentType === "f32" && [M, N, K].every((side) => side % 4 === 0),
  );
  for (const config of usable.toSorted((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)) {
    const tiling = tileMatrices(adapter, config);
    if (tiling !== undefined) {
      return tiling;
    }
  }
  throw unsupported(adapter, "subgroup-matrix", "multiply f16 or f32 and add f32");
}

function unsupported(adapter: GemmAdapter, mode: GemmMode, what: string): ModelComposeError {
  const offered = adapter.subgroupMatrix.map(
    ({ componentType, resultComponentType, M, N, K }) =>
      `${componentType} → ${resultComponentType} ${M}×${N}×${K}`,
  );
  const found =
    offered.length === 0
      ? "lacks the feature chromium-experimental-subgroup-matrix"
      : `has ${offered.join(", ")}, ${adapter.maxComputeWorkgroupStorageSize} bytes of workgroup memory and workgroups ` +
        `of ${adapter.maxComputeInvocationsPerWorkgroup}`;
  return new ModelComposeError(
    "unsupported",
    `The mode "${mode}" of prompt processing needs matrix units that ${what}; the adapter ${adapter.name} ${found}.`,
    { remedy: USE_EXACT },
  );
}

/** The largest tiles that an adapter's workgroups hold. */
function tileMatrices(adapter: GemmAdapter, { M, N, K }: MatrixConfig): MatrixTiling | undefined {
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
        matrixMemory(tiling) <= limit;
      if (!fits) {
        continue;
      }
      const double: MatrixTiling = { ...tiling, buffers: 2 };
      return matrixMemory(double) * 3 <= limit * 2 ? double : tiling;
    }
  }
  return undefined;
}
