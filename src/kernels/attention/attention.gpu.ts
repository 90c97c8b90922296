/**
 * The kernels of softmax attention on the GPU: for few rows decode.wgsl, which splits each row's positions among
 * workgroups, and combine.wgsl, which merges the splits; for blocks of rows block.wgsl, tile by tile.
 */
import type { CacheFormat } from "../append/append.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import type { ShaderConstants } from "../wgsl/preprocess.ts";
import { params } from "../wgsl/params.ts";

/** The heads of an attention, its cache, and what a row sees. */
export interface AttentionShape {
  /** Number of query heads, a multiple of kvHeads. */
  heads: number;
  kvHeads: number;
  /** Numbers of a head: a multiple of 4, at most 256. */
  headDim: number;
  /** Number of positions that a slot of the cache holds. */
  context: number;
  cache: CacheFormat;
  /** How many positions a row sees, its own the last of them; undefined for all. */
  window?: number;
  /**
   * Whether every row sees all of the encoder's input, in slot 0, whatever its own slot and position; not with a
   * window.
   */
  source?: boolean;
  /** Whether scores have a soft cap. */
  isCapped?: boolean;
}

const DECODE_WORKGROUP = 128;
/** The workgroups to aim at: enough to fill a large GPU (an H200 has 132 multiprocessors) with a few each. */
const DECODE_WORKGROUPS = 512;
const MOST_SPLITS = 128;

/** Queries of a workgroup of block.wgsl: rows times heads. */
const BLOCK_QUERIES = 64;
const BLOCK_KEYS = 64;

/** Query heads of one KV head, dealt to as few workgroups of at most `most` as evenly as they go. */
function headTiles({ heads, kvHeads }: AttentionShape, most: number): { tileHeads: number; tiles: number } {
  const group = heads / kvHeads;
  const tileHeads = Math.ceil(group / Math.ceil(group / most));
  return { tileHeads, tiles: kvHeads * Math.ceil(group / tileHeads) };
}

function checked(shape: AttentionShape): AttentionShape {
  const { heads, kvHeads, headDim, window, source } = shape;
  if (source === true && window !== undefined) {
    throw new RangeError(
      `Attention on the GPU: an encoder's input is seen whole; found a window of ${window}.`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new RangeError(
      `Attention on the GPU: heads (${heads}) must be a multiple of KV heads (${kvHeads}).`,
    );
  }
  if (headDim % 4 !== 0 || headDim < 4 || headDim > 256) {
    throw new RangeError(
      `Attention on the GPU: the head dimension must be a multiple of 4 up to 256; found ${headDim}.`,
    );
  }
  return shape;
}

interface DecodePlan {
  /** Query heads of a workgroup. */
  tileHeads: number;
  /** Workgroups that share a row and a split. */
  headTiles: number;
  /** Positions of a tile; a split is a whole number of tiles. */
  tile: number;
  maxSplits: number;
}

function decodePlan(shape: AttentionShape): DecodePlan {
  const { tileHeads, tiles } = headTiles(shape, 8);
  // With this tile an invocation has at most one score and some 16 vec4 of values.
  const tile = tileHeads > 4 ? 16 : tileHeads > 2 || shape.headDim > 64 ? 32 : 64;
  const mostTiles = Math.ceil(Math.min(shape.context, shape.window ?? Infinity) / tile);
  const wanted = Math.min(Math.ceil(DECODE_WORKGROUPS / tiles), MOST_SPLITS);
  return { tileHeads, headTiles: tiles, tile, maxSplits: Math.min(wanted, mostTiles) };
}

function splitConstants(shape: AttentionShape, maxRows: number): ShaderConstants {
  const { heads, kvHeads, headDim, context, cache, window = 0, source = false } = checked(shape);
  const { tileHeads, tile, maxSplits } = decodePlan(shape);
  return {
    HEADS: heads,
    KV_HEADS: kvHeads,
    HEAD_DIM: headDim,
    CONTEXT: context,
    CACHE: cache,
    WINDOW: window,
    SOURCE: source,
    MAX_ROWS: maxRows,
    TILE_HEADS: tileHeads,
    TILE: tile,
    MAX_SPLITS: maxSplits,
  };
}

/**
 * The first of two kernels for few rows: it makes the partials of every split.
 *
 * Buffers: query [R][heads][headDim] f32, keys and values [slot][context][kvHeads][headDim] in the cache's format, partials (f32,
 * `attentionPartialWords`), rows (u32), params.
 *
 * @throws RangeError for a shape that no kernel is written for
 */
export function attentionDecodeKernel(shape: AttentionShape, maxRows: number): KernelSpec {
  const columns = shape.headDim / 4;
  const keyLanes = [8, 4, 2, 1].find((lanes) => columns % lanes === 0) ?? 1;
  return {
    name: "attention decode",
    source: "attention/decode.wgsl",
    constants: {
      ...splitConstants(shape, maxRows),
      SOFT_CAP: shape.isCapped === true,
      WORKGROUP: DECODE_WORKGROUP,
      KEY_LANES: keyLanes,
    },
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}

/**
 * The second of two kernels for few rows: it merges the partials. Buffers: partials, output [R][heads][headDim] f32,
 * rows (u32).
 */
export function attentionCombineKernel(shape: AttentionShape, maxRows: number): KernelSpec {
  // There is an invocation for every column of every split, within reason.
  const wanted = (shape.headDim / 4) * decodePlan(shape).maxSplits;
  const workgroup = Math.min(Math.max(2 ** Math.ceil(Math.log2(wanted)), 32), 256);
  return {
    name: "attention combine",
    source: "attention/combine.wgsl",
    constants: { ...splitConstants(shape, maxRows), WORKGROUP: workgroup },
    bindings: ["read", "write", "read"],
  };
}

/**
 * The words of the params of the decode and block kernels.
 *
 * @param scale factor of the scores, usually headDim^-½
 * @param cap the soft cap of the scaled scores, where the shape has one
 */
export function attentionParams(scale: number, cap = 0): Uint32Array {
  return params("f32", scale, "f32", cap);
}

/**
 * The number of splits of a row. It is never less for a longer row: ask for the longest of a pass.
 *
 * @param length position of the row + 1, or the length of the encoder's input
 */
export function attentionSplits(shape: AttentionShape, length: number): number {
  const { tile, maxSplits } = decodePlan(shape);
  return Math.min(Math.ceil(Math.min(length, shape.window ?? Infinity) / tile), maxSplits);
}

/**
 * Workgroups of the decode kernel.
 *
 * @param length position of the longest row + 1, or the length of the encoder's input
 */
export function attentionDecodeWorkgroups(
  shape: AttentionShape,
  rows: number,
  length: number,
): [number, number, number] {
  return [attentionSplits(shape, length), decodePlan(shape).headTiles, rows];
}

/** Workgroups of the combine kernel. */
export function attentionCombineWorkgroups({ heads }: AttentionShape, rows: number): [number, number] {
  return [heads, rows];
}

/** Words of the buffer of partials for so many rows. */
export function attentionPartialWords(shape: AttentionShape, rows: number): number {
  return rows * shape.heads * decodePlan(shape).maxSplits * (shape.headDim + 4);
}

/**
 * The kernel for blocks of rows. Buffers: query, keys, values and output as for the kernels of few rows, tiles
 * (`attentionTiles`), rows (over the encoder's input only), params.
 *
 * @throws RangeError for a shape that no kernel is written for
 */
export function attentionBlockKernel(shape: AttentionShape, maxRows: number): KernelSpec {
  const { heads, kvHeads, headDim, context, cache, window = 0, source = false } = checked(shape);
  return {
    name: "attention block",
    source: "attention/block.wgsl",
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: context,
      CACHE: cache,
      WINDOW: window,
      SOURCE: source,
      SOFT_CAP: shape.isCapped === true,
      ...(source && { MAX_ROWS: maxRows }),
      TILE_HEADS: headTiles(shape, BLOCK_QUERIES).tileHeads,
      KEYS: BLOCK_KEYS,
      // Together with the weights these take less than 16 KiB.
      VALUE_ROWS: headDim > 128 ? 8 : 16,
    },
    bindings: ["read", "read", "read", "write", "read", ...(source ? (["read"] as const) : []), "uniform"],
  };
}

/** The most rows of a tile of block.wgsl. */
export function attentionTileRows(shape: AttentionShape): number {
  return Math.floor(BLOCK_QUERIES / headTiles(shape, BLOCK_QUERIES).tileHeads);
}

/** Tiles of rows, as block.wgsl reads them. */
export interface AttentionTiles {
  count: number;
  /** [count][4] u32: first row, number of rows, slot, position of the first row. */
  words: Uint32Array;
}

/**
 * Cuts the rows of a pass into tiles: neighbouring rows of one slot at consecutive positions, at most `tileRows`.
 *
 * @param slots [R], the slot of each row
 * @param positions [R], the position of each row
 */
export function attentionTiles(
  slots: ArrayLike<number>,
  positions: ArrayLike<number>,
  tileRows: number,
): AttentionTiles {
  const words: number[] = [];
  let first = 0;
  for (let row = 1; row <= slots.length; row++) {
    const continues =
      row < slots.length &&
      row - first < tileRows &&
      slots[row] === slots[first] &&
      positions[row] === positions[first] + row - first;
    if (continues) {
      continue;
    }
    words.push(first, row - first, slots[first], positions[first]);
    first = row;
  }
  return { count: words.length / 4, words: Uint32Array.from(words) };
}

/** Words of the buffer of tiles: each row may be a tile of its own. */
export function attentionTileWords(maxRows: number): number {
  return 4 * maxRows;
}

/**
 * Workgroups of the block kernel.
 *
 * @param tiles number of tiles
 */
export function attentionBlockWorkgroups(shape: AttentionShape, tiles: number): [number, number] {
  return [tiles, headTiles(shape, BLOCK_QUERIES).tiles];
}
