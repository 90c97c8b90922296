/**
 * Softmax attention on the GPU: its shape, and the kernel for blocks of rows, block.wgsl, which goes tile by tile. Those for
 * few rows are in decode.gpu.ts, that on matrix units in block-matrix.gpu.ts.
 */
import type { CacheFormat } from "../append/append.gpu.ts";
import type { BindingKind, KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";
import { slopesOf, type ScoreBias } from "./score-bias.ts";

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
  /** What kind of biases scores have; undefined for none. */
  bias?: ScoreBias["kind"];
  /** Whether heads have sinks. */
  hasSinks?: boolean;
}

/** Queries of a workgroup of block.wgsl: rows times heads. */
const BLOCK_QUERIES = 64;
const BLOCK_KEYS = 64;

/** Query heads of one KV head, dealt to as few workgroups of at most `most` as evenly as they go. */
export function headTiles(
  { heads, kvHeads }: AttentionShape,
  most: number,
): { tileHeads: number; tiles: number } {
  const group = heads / kvHeads;
  const tileHeads = Math.ceil(group / Math.ceil(group / most));
  return { tileHeads, tiles: kvHeads * Math.ceil(group / tileHeads) };
}

/** @throws RangeError for a shape that no kernel is written for */
export function checked(shape: AttentionShape): AttentionShape {
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

/** What of an attention's params not every shape has. */
export interface AttentionParams {
  /** The soft cap of the scaled scores. */
  cap?: number;
  /** The biases of the scores. */
  bias?: ScoreBias;
  /** Where the table of the biases begins in the buffer of vectors, in numbers. */
  table?: number;
  /** Where the sinks begin in the buffer of vectors, in numbers. */
  sinks?: number;
}

/**
 * The words of the params of the decode and block kernels.
 *
 * @param scale factor of the scores, usually headDim^-½
 * @param rest what the shape has besides
 */
export function attentionParams(
  scale: number,
  { cap = 0, bias, table = 0, sinks = 0 }: AttentionParams = {},
): Uint32Array {
  const words = params("f32", scale, "f32", cap, "u32", sinks);
  if (bias === undefined) {
    return words;
  }
  const biasScale = bias.kind === "rounded" ? bias.scale : 1;
  const reach = bias.kind === "table" ? bias.reach : 0;
  const head = [...words, ...params("f32", biasScale, "u32", table, "u32", reach), 0, 0];
  return Uint32Array.from([...head, ...new Uint32Array(slopesOf(bias).buffer)]);
}

/** What the kernels' source asks of a shape besides. */
export function biasConstants(
  { bias, hasSinks = false }: AttentionShape,
  bindings: readonly BindingKind[],
): KernelSpec["constants"] {
  return { BIAS: bias ?? "none", SINKS: hasSinks, PARAMS_BINDING: bindings.length - 1 };
}

/** Whether the kernels of a shape read vectors: a table of biases, or sinks. */
export function readsVectors({ bias, hasSinks }: Pick<AttentionShape, "bias" | "hasSinks">): boolean {
  return bias === "table" || hasSinks === true;
}

/** The buffers of the kernels of a shape behind the others, the params last. */
export function lastBindings(shape: AttentionShape): readonly BindingKind[] {
  return readsVectors(shape) ? ["read", "uniform"] : ["uniform"];
}

/**
 * The kernel for blocks of rows. Buffers: query, keys, values and output as for the kernels of few rows, tiles
 * (`attentionTiles`), rows (over the encoder's input only), vectors (where `readsVectors`), params.
 *
 * @throws RangeError for a shape that no kernel is written for
 */
export function attentionBlockKernel(shape: AttentionShape, maxRows: number): KernelSpec {
  const { heads, kvHeads, headDim, context, cache, window = 0, source = false } = checked(shape);
  const bindings: BindingKind[] = [
    ...(["read", "read", "read", "write", "read"] as const),
    ...(source ? (["read"] as const) : []),
    ...lastBindings(shape),
  ];
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
      ...biasConstants(shape, bindings),
      ...(source && { MAX_ROWS: maxRows }),
      TILE_HEADS: headTiles(shape, BLOCK_QUERIES).tileHeads,
      KEYS: BLOCK_KEYS,
      // Together with the weights these take less than 16 KiB.
      VALUE_ROWS: headDim > 128 ? 8 : 16,
    },
    bindings,
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
