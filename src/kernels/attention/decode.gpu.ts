/**
 * The kernels of softmax attention for few rows. A row that sees few positions is done by one dispatch, whose workgroups
 * take all positions of some heads and write the output. The positions of others are split among workgroups, and a second
 * dispatch, combine.wgsl, merges the splits. Of the kernel there are two: decode-subgroups.wgsl, and decode.wgsl for
 * adapters without subgroups.
 */
import type { BindingKind, KernelSpec } from "../wgsl/kernel.ts";
import { biasConstants, checked, headTiles, lastBindings, type AttentionShape } from "./attention.gpu.ts";

/** How a workgroup shares out its work. */
export interface DecodeTiling {
  /** Invocations of a workgroup, a power of two. */
  workgroup: number;
  /** The most query heads of a workgroup; they share each key and value. */
  heads: number;
  /** The most lanes that share a key, a power of two; for subgroups. */
  keyLanes: number;
  /** The most keys that a lane has on their way at once; for subgroups. */
  keys: number;
}

/** How attention of few rows is dealt to workgroups. */
export interface DecodeAttentionVariant {
  /** The least and the most lanes that a subgroup may have, powers of two; undefined: kernels use none. */
  subgroups?: { least: number; most: number };
  /** A row that sees no more positions than this has one split, whose output needs no merging. 0: no row. */
  directPositions: number;
  /** For rows that see no more than `directPositions`. */
  direct: DecodeTiling;
  /** For the others. */
  split: DecodeTiling;
  /** The most splits of a row. */
  mostSplits: number;
  /** Workgroups to aim at with one long row: as many as a large GPU runs at once. */
  workgroups: number;
  /** Columns, of four numbers, of a workgroup that merges splits. */
  combineColumns: number;
  /** Bytes of workgroup memory that a kernel may have. */
  workgroupMemory: number;
}

/** The sizes of a decode kernel for one shape. */
interface DecodePlan {
  /** Whether it uses subgroups. */
  subgroups: boolean;
  workgroup: number;
  keyLanes: number;
  /** Query heads of a workgroup. */
  tileHeads: number;
  /** Workgroups that share a row and a split. */
  headTiles: number;
  /** Positions of a tile; a split is a whole number of tiles. */
  tile: number;
}

/** vec4 of queries, and as many of outputs, that a lane holds in registers; and vec4 of keys, and as many of values. */
const MOST_QUERIES = 16;
const MOST_KEYS = 16;
/** decode.wgsl has an invocation for each score of a tile. */
const LEAST_PLAIN_WORKGROUP = 128;

/** The largest power of two up to `most` that divides `columns`. */
function lanesOf(columns: number, most: number): number {
  let lanes = 1;
  while (lanes * 2 <= most && columns % (lanes * 2) === 0) {
    lanes *= 2;
  }
  return lanes;
}

function planDecode(
  shape: AttentionShape,
  tiling: DecodeTiling,
  variant: DecodeAttentionVariant,
): DecodePlan {
  return planSubgroups(shape, tiling, variant) ?? planPlain(shape, tiling);
}

function planPlain(shape: AttentionShape, { workgroup: wanted, heads }: DecodeTiling): DecodePlan {
  const { tileHeads, tiles } = headTiles(shape, Math.min(heads, 8));
  const workgroup = Math.max(wanted, LEAST_PLAIN_WORKGROUP);
  // With this tile an invocation has at most one score and some 16 vec4 of values.
  const tile = tileHeads > 4 ? 16 : tileHeads > 2 || shape.headDim > 64 ? 32 : 64;
  const keyLanes = lanesOf(shape.headDim / 4, 8);
  return { subgroups: false, workgroup, keyLanes, tileHeads, headTiles: tiles, tile };
}

/** Nothing where the variant has no subgroups, or no workgroup of whole subgroups has the memory. */
function planSubgroups(
  shape: AttentionShape,
  { workgroup: wanted, heads, keyLanes: mostLanes, keys }: DecodeTiling,
  { subgroups, workgroupMemory }: DecodeAttentionVariant,
): DecodePlan | undefined {
  if (subgroups === undefined) {
    return undefined;
  }
  const columns = shape.headDim / 4;
  const keyLanes = lanesOf(columns, Math.min(mostLanes, subgroups.least));
  const laneColumns = columns / keyLanes;
  let { tileHeads, tiles } = headTiles(shape, fitting(heads, laneColumns, MOST_QUERIES));
  let workgroup = Math.max(wanted, subgroups.most);
  while (memoryOf(workgroup / subgroups.least, tileHeads, shape) > workgroupMemory) {
    if (workgroup / 2 >= subgroups.most) {
      workgroup /= 2;
    } else if (tileHeads > 1) {
      ({ tileHeads, tiles } = headTiles(shape, tileHeads - 1));
    } else {
      return undefined;
    }
  }
  const tile = (workgroup / keyLanes) * fitting(keys, laneColumns, MOST_KEYS);
  return { subgroups: true, workgroup, keyLanes, tileHeads, headTiles: tiles, tile };
}

/** As many as are wanted of what takes `each`, but no more than fit into `most`; at least one. */
function fitting(wanted: number, each: number, most: number): number {
  return Math.max(1, Math.min(wanted, Math.floor(most / each)));
}

/** Bytes of workgroup memory of decode-subgroups.wgsl. */
function memoryOf(subgroups: number, tileHeads: number, { headDim }: AttentionShape): number {
  return subgroups * tileHeads * (headDim + 2) * 4;
}

/** The most positions that a row sees. */
function mostVisible({ context, window = Infinity }: AttentionShape): number {
  return Math.min(context, window);
}

/** The most splits of a row of this shape. */
function mostSplitsOf(shape: AttentionShape, variant: DecodeAttentionVariant): number {
  const { headTiles: tiles, tile } = planDecode(shape, variant.split, variant);
  const wanted = Math.min(Math.ceil(variant.workgroups / tiles), variant.mostSplits);
  return Math.min(wanted, Math.ceil(mostVisible(shape) / tile));
}

/** Whether there may be rows that are not done directly. */
export function attentionSplitsRows(shape: AttentionShape, variant: DecodeAttentionVariant): boolean {
  return mostVisible(shape) > variant.directPositions;
}

/** Whether a row is done directly. @param length position of the row + 1, or the length of the encoder's input */
function isDirect(
  { window = Infinity }: AttentionShape,
  { directPositions }: DecodeAttentionVariant,
  length: number,
): boolean {
  return Math.min(length, window) <= directPositions;
}

function splitConstants(
  shape: AttentionShape,
  { tile, tileHeads }: DecodePlan,
  splits: number,
  { directPositions }: DecodeAttentionVariant,
  maxRows: number,
): KernelSpec["constants"] {
  const { heads, kvHeads, headDim, context, cache, window = 0, source = false } = checked(shape);
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
    MAX_SPLITS: splits,
    DIRECT_POSITIONS: directPositions,
  };
}

/**
 * The kernel for rows that are done directly; it leaves others alone.
 *
 * Buffers: query [R][heads][headDim] f32, keys and values [slot][context][kvHeads][headDim] in the cache's format, output
 * [R][heads][headDim] f32, rows (u32), vectors (f32, where `readsVectors`), params (`attentionParams`).
 *
 * @throws RangeError for a shape that no kernel is written for
 */
export function attentionDirectKernel(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  maxRows: number,
): KernelSpec {
  return decodeKernel(shape, variant, maxRows, true);
}

/**
 * The first of two kernels for the other rows: it makes the partials of every split. Buffers: as for
 * `attentionDirectKernel`, with partials (f32, `attentionPartialWords`) in place of output.
 *
 * @throws RangeError for a shape that no kernel is written for
 */
export function attentionSplitKernel(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  maxRows: number,
): KernelSpec {
  return decodeKernel(shape, variant, maxRows, false);
}

function decodeKernel(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  maxRows: number,
  direct: boolean,
): KernelSpec {
  const plan = planDecode(shape, direct ? variant.direct : variant.split, variant);
  const { subgroups, workgroup, keyLanes } = plan;
  const bindings = (["read", "read", "read", "write", "read"] as BindingKind[]).concat(lastBindings(shape));
  return {
    name: direct ? "attention direct" : "attention decode",
    source: subgroups ? "attention/decode-subgroups.wgsl" : "attention/decode.wgsl",
    constants: {
      ...splitConstants(shape, plan, direct ? 1 : mostSplitsOf(shape, variant), variant, maxRows),
      SOFT_CAP: shape.isCapped === true,
      ...biasConstants(shape, bindings),
      DIRECT: direct,
      WORKGROUP: workgroup,
      KEY_LANES: keyLanes,
      ...(subgroups && { LEAST_SUBGROUP: variant.subgroups?.least }),
    },
    bindings,
  };
}

/**
 * The second of two kernels for the other rows: it merges the partials. Buffers: partials, output [R][heads][headDim]
 * f32, rows (u32); where heads have sinks, vectors and params (`attentionParams`) too.
 */
export function attentionCombineKernel(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  maxRows: number,
): KernelSpec {
  const plan = planDecode(shape, variant.split, variant);
  const splits = mostSplitsOf(shape, variant);
  const columns = combineColumnsOf(shape, variant);
  // There is an invocation for every column of every split, within reason.
  const workgroup = Math.min(Math.max(2 ** Math.ceil(Math.log2(columns * splits)), 32), 256);
  return {
    name: "attention combine",
    source: "attention/combine.wgsl",
    constants: {
      ...splitConstants(shape, plan, splits, variant, maxRows),
      WORKGROUP: workgroup,
      COLUMNS_AT_ONCE: columns,
      SINKS: shape.hasSinks === true,
    },
    bindings: ["read", "write", "read", ...(shape.hasSinks === true ? (["read", "uniform"] as const) : [])],
  };
}

/** Columns of a workgroup of combine.wgsl. */
function combineColumnsOf({ headDim }: AttentionShape, { combineColumns }: DecodeAttentionVariant): number {
  return Math.min(combineColumns, headDim / 4);
}

/**
 * The number of splits of a row that is not done directly. It is never less for a longer row: ask for the longest of a
 * pass.
 *
 * @param length position of the row + 1, or the length of the encoder's input
 */
export function attentionSplits(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  length: number,
): number {
  const { tile } = planDecode(shape, variant.split, variant);
  return splitsOf(shape, length, tile, mostSplitsOf(shape, variant));
}

/** The splits of a row whose tiles have so many positions. */
function splitsOf(
  { window = Infinity }: AttentionShape,
  length: number,
  tile: number,
  mostSplits: number,
): number {
  return Math.min(Math.ceil(Math.min(length, window) / tile), mostSplits);
}

/** The rows of a pass. */
export interface DecodeRows {
  count: number;
  /** Position of the first of them in its sequence + 1; over an encoder's input the length of that. */
  shortest: number;
  /** Position of the last of them in its sequence + 1; over an encoder's input the length of that. */
  longest: number;
}

/** Workgroups of the three kernels; none of a kernel that has nothing to do. */
export interface DecodeWorkgroups {
  direct: (rows: DecodeRows) => [number, number, number];
  split: (rows: DecodeRows) => [number, number, number];
  combine: (rows: DecodeRows) => [number, number, number];
}

/** Everything that does not depend on the rows is found out once: a decoded token asks in every layer. */
export function attentionDecodeWorkgroups(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
): DecodeWorkgroups {
  const directTiles = planDecode(shape, variant.direct, variant).headTiles;
  const { headTiles: splitTiles, tile } = planDecode(shape, variant.split, variant);
  const mostSplits = mostSplitsOf(shape, variant);
  const columnTiles = Math.ceil(shape.headDim / 4 / combineColumnsOf(shape, variant));
  const { heads } = shape;
  const splits = (length: number): number =>
    isDirect(shape, variant, length) ? 0 : splitsOf(shape, length, tile, mostSplits);
  return {
    direct: ({ count, shortest }) => [isDirect(shape, variant, shortest) ? 1 : 0, directTiles, count],
    split: ({ count, longest }) => [splits(longest), splitTiles, count],
    combine: ({ count, longest }) => [isDirect(shape, variant, longest) ? 0 : heads, columnTiles, count],
  };
}

/** Words of the buffer of partials for so many rows; 0 where all rows are done directly. */
export function attentionPartialWords(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  rows: number,
): number {
  return attentionSplitsRows(shape, variant)
    ? rows * shape.heads * mostSplitsOf(shape, variant) * (shape.headDim + 4)
    : 0;
}

/** Buffers of the three kernels, whatever stands for a buffer. */
export type DecodeBuffers<Buffer> = Readonly<
  Record<"query" | "keys" | "values" | "output" | "partials" | "rows", Buffer> & {
    /** Where `readsVectors`. */
    vectors?: Buffer;
  }
>;

/** A launch of one of the three kernels. */
export interface DecodeLaunch<Buffer> {
  spec: KernelSpec;
  /** Its buffers without the params. */
  buffers: Buffer[];
  /** Whether it has `attentionParams` behind them. */
  hasParams: boolean;
  workgroups: [number, number, number];
}

/** The launches that attend for some rows, in order; those that have nothing to do are left out. */
export function attentionRowLaunches<Buffer>(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  maxRows: number,
  rows: DecodeRows,
  buffers: DecodeBuffers<Buffer>,
): DecodeLaunch<Buffer>[] {
  const { query, keys, values, output, partials, vectors } = buffers;
  const inputs = [query, keys, values];
  const last = [buffers.rows, ...(vectors === undefined ? [] : [vectors])];
  const workgroups = attentionDecodeWorkgroups(shape, variant);
  const launches: DecodeLaunch<Buffer>[] = [
    {
      spec: attentionDirectKernel(shape, variant, maxRows),
      buffers: [...inputs, output, ...last],
      hasParams: true,
      workgroups: workgroups.direct(rows),
    },
    {
      spec: attentionSplitKernel(shape, variant, maxRows),
      buffers: [...inputs, partials, ...last],
      hasParams: true,
      workgroups: workgroups.split(rows),
    },
    {
      spec: attentionCombineKernel(shape, variant, maxRows),
      buffers: shape.hasSinks === true ? [partials, output, ...last] : [partials, output, buffers.rows],
      hasParams: shape.hasSinks === true,
      workgroups: workgroups.combine(rows),
    },
  ];
  return launches.filter((launch) => launch.workgroups.every((count) => count > 0));
}
