/** Softmax attention of blocks of rows on matrix units; see block-matrix.wgsl. */
import type { BindingKind, KernelSpec } from "../wgsl/kernel.ts";
import { checked, headTiles, lastBindings, type AttentionShape } from "./attention.gpu.ts";

/** How the attention of a tile of queries is cut into subgroup matrices. */
export interface AttentionTiling {
  /** Sides of the product of two subgroup matrices, rows × k by k × columns; multiples of 4. */
  matrixRows: number;
  matrixColumns: number;
  matrixK: number;
  /** Invocations of the largest subgroups that the adapter runs. */
  subgroupSize: number;
  /** Subgroups of a workgroup: down, over the queries; across, over keys of the scores and columns of the output. */
  subgroupRows: number;
  subgroupColumns: number;
  /** Queries of a workgroup: rows times heads. */
  queries: number;
  /** Keys of a tile. */
  keys: number;
  /**
   * Numbers between rows of scores in workgroup memory, a multiple of 4. With 8 neighbouring rows are in different banks; 4
   * takes less.
   */
  scorePadding: number;
  /** Whether keys and values are read a tile ahead, in registers. */
  prefetch: boolean;
}

/** Bytes of four halves. */
const QUAD = 8;
/** Quads between rows of halves in workgroup memory. */
const PADDING = 2;

export function attentionMatrixWorkgroup(tiling: AttentionTiling): number {
  return tiling.subgroupSize * tiling.subgroupRows * tiling.subgroupColumns;
}

/**
 * In how many slices of columns queries come through the memory of a tile's keys and values: as few as fit, at most one
 * for every matrix.
 */
function queryRounds({ headDim }: AttentionShape, { queries, keys, matrixK }: AttentionTiling): number {
  const steps = headDim / matrixK;
  const room = (2 * keys * (headDim / 4 + PADDING)) / queries - PADDING;
  for (let rounds = 1; rounds < steps; rounds++) {
    if (steps % rounds === 0 && headDim / 4 / rounds <= room) {
      return rounds;
    }
  }
  return steps;
}

/** Bytes of workgroup memory that the kernel takes. */
export function attentionMatrixMemory(shape: AttentionShape, tiling: AttentionTiling): number {
  const { queries, keys, scorePadding } = tiling;
  const columns = shape.headDim / 4;
  const slice = columns / queryRounds(shape, tiling);
  const stage = Math.max(2 * keys * (columns + PADDING), queries * (slice + PADDING)) * QUAD;
  const scores = queries * (keys + scorePadding) * 4;
  const weights = queries * (keys / 4 + PADDING) * QUAD;
  // One number of each invocation and a flag, in a multiple of 16 bytes.
  return stage + scores + weights + attentionMatrixWorkgroup(tiling) * 4 + 16;
}

/**
 * Whether the kernel can be made for a shape: whole matrices for every subgroup, whole quads for every invocation. What fits
 * an adapter is another question.
 */
export function isWhole(shape: AttentionShape, tiling: AttentionTiling): boolean {
  const { matrixRows, matrixColumns, matrixK, subgroupRows, subgroupColumns, queries, keys } = tiling;
  const lanes = attentionMatrixWorkgroup(tiling) / queries;
  return (
    queries % (subgroupRows * matrixRows) === 0 &&
    keys % (subgroupColumns * matrixColumns) === 0 &&
    keys % matrixK === 0 &&
    shape.headDim % (subgroupColumns * matrixColumns) === 0 &&
    shape.headDim % matrixK === 0 &&
    // A piece of an f16 cache has eight numbers.
    shape.headDim % 8 === 0 &&
    Number.isInteger(lanes) &&
    (keys / 4) % lanes === 0
  );
}

/**
 * The kernel for blocks of rows on matrix units that multiply f16 and add f32; its buffers are those of
 * `attentionBlockKernel`. It needs the features shader-f16, subgroups and chromium-experimental-subgroup-matrix.
 *
 * @param emulated whether to compute the same with plain arithmetic, for tests on adapters without matrix units
 * @throws RangeError for a shape that no kernel is written for, or that the tiling does not divide
 */
export function attentionMatrixKernel(
  shape: AttentionShape,
  maxRows: number,
  tiling: AttentionTiling,
  emulated = false,
): KernelSpec {
  const { heads, kvHeads, headDim, context, cache, window = 0, source = false } = checked(shape);
  const { matrixRows, matrixColumns, matrixK, subgroupRows, subgroupColumns, queries, keys } = tiling;
  const rounds = queryRounds(shape, tiling);
  if (!isWhole(shape, tiling)) {
    throw new RangeError(
      `Attention on matrix units: heads of ${headDim} are not cut into whole matrices by ${JSON.stringify(tiling)}.`,
    );
  }
  if (shape.bias !== undefined) {
    throw new RangeError(`Attention on matrix units: scores have no biases; found "${shape.bias}".`);
  }
  const workgroup = attentionMatrixWorkgroup(tiling);
  const scoreMatrices = keys / (subgroupColumns * matrixColumns);
  const outputMatrices = headDim / (subgroupColumns * matrixColumns);
  const pieces = (keys * headDim) / (cache === "f16" ? 8 : 4);
  const bindings: BindingKind[] = [
    ...(["read", "read", "read", "write", "read"] as const),
    ...(source ? (["read"] as const) : []),
    ...lastBindings(shape),
  ];
  return {
    name: "attention block subgroup-matrix",
    source: "attention/block-matrix.wgsl",
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: context,
      CACHE: cache,
      WINDOW: window,
      SOURCE: source,
      SOFT_CAP: shape.isCapped === true,
      SINKS: shape.hasSinks === true,
      PARAMS_BINDING: bindings.length - 1,
      ...(source && { MAX_ROWS: maxRows }),
      TILE_HEADS: headTiles(shape, queries).tileHeads,
      QUERIES: queries,
      KEYS: keys,
      SCORE_PADDING: tiling.scorePadding,
      PREFETCH: tiling.prefetch,
      SUBGROUP_SIZE: tiling.subgroupSize,
      SUBGROUP_ROWS: subgroupRows,
      SUBGROUP_COLUMNS: subgroupColumns,
      MATRIX_ROWS: matrixRows,
      MATRIX_COLUMNS: matrixColumns,
      MATRIX_K: matrixK,
      // How often lines are written out.
      ROW_MATRICES: queries / (subgroupRows * matrixRows),
      SCORE_MATRICES: scoreMatrices,
      OUTPUT_MATRICES: outputMatrices,
      OUTPUT_ROUNDS: Math.ceil(outputMatrices / scoreMatrices),
      DIM_STEPS: headDim / matrixK,
      KEY_STEPS: keys / matrixK,
      QUERY_ROUNDS: rounds,
      QUERY_STEPS: headDim / matrixK / rounds,
      LOADS: Math.ceil(pieces / workgroup),
      QUADS_EACH: keys / 4 / (workgroup / queries),
      EMULATED: emulated,
    },
    bindings,
  };
}

/** The most rows of a tile. */
export function attentionMatrixTileRows(shape: AttentionShape, { queries }: AttentionTiling): number {
  return Math.floor(queries / headTiles(shape, queries).tileHeads);
}

/** Workgroups of the kernel. */
export function attentionMatrixWorkgroups(
  shape: AttentionShape,
  { queries }: AttentionTiling,
  tiles: number,
): [number, number] {
  return [headTiles(shape, queries).tiles, tiles];
}
