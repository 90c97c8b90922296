/** The kernels of products with the weights of chosen experts; see experts.wgsl, group.wgsl and combine.wgsl. */
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import {
  CHUNK_BYTES,
  chunkQuads,
  chunksOf,
  isAligned,
  isQuantized,
  rowStride,
  type WeightShape,
} from "../format.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** What a kernel of experts multiplies: matrices of `rows` rows, of which a row has `chosen`. */
export interface ExpertsShape extends WeightShape {
  rows: number;
  chosen: number;
  /** Whether each expert has a bias. */
  isBiased?: boolean;
}

/**
 * What is computed. "each": a product for each line, of the row's input. "sum": those of a row's lines, weighted and added up.
 * "tiled rows", "tiled lines": a product for each line, of the row's input or of the line's, for lines that were gathered.
 */
export type ExpertsKind = "each" | "sum" | "tiled rows" | "tiled lines";

/** How the work is dealt to workgroups: `outputs` weight rows for `tile` lines each. */
export interface ExpertsVariant {
  subgroups: boolean;
  workgroup: number;
  outputs: number;
  /** 1, but for tiled kinds. */
  tile: number;
}

/**
 * The kernel of a product. A line is one of the `chosen` experts of a row; routes are [R, 2 · chosen] f32, experts and weights.
 *
 * Buffers: x [R or lines, columns] f32, vectors (the biases are there), weight [experts of the shard · rows], output [R or lines, rows] f32,
 * routes or, of tiled kinds, tiles (`groupKernel`), params.
 */
export function expertsKernel(shape: ExpertsShape, kind: ExpertsKind, variant: ExpertsVariant): KernelSpec {
  const { format, columns, rows, chosen, isBiased = false } = shape;
  const { subgroups, workgroup, outputs, tile } = variant;
  const isTiled = kind === "tiled rows" || kind === "tiled lines";
  return {
    name: `experts ${kind}`,
    source: "experts/experts.wgsl",
    constants: {
      KIND: kind === "sum" ? "sum" : "each",
      TILED: isTiled,
      ...(isTiled && { INPUT: kind === "tiled lines" ? "lines" : "rows" }),
      FORMAT: format,
      GROUPED: isQuantized(format),
      COLUMNS: columns,
      CHUNKS: chunksOf(shape),
      CHUNK_QUADS: chunkQuads(shape.format),
      WEIGHT_STRIDE: rowStride(shape) / CHUNK_BYTES,
      ROWS: rows,
      CHOSEN: chosen,
      BIASED: isBiased,
      ALIGNED: isAligned(shape),
      SUBGROUPS: subgroups,
      WORKGROUP: workgroup,
      OUTPUTS: outputs,
      TILE: tile,
    },
    bindings: ["read", "read", "read", "write", "read", "uniform"],
  };
}

/** The scalars of the kernel. */
export interface ExpertsParams {
  /** The first expert of the shard, which has `count`. */
  first: number;
  count: number;
  /** Whether a sum is added to what the output has. */
  add: boolean;
  /** Where the biases of all experts begin in the buffer of vectors, in numbers, [experts, rows]. Default 0. */
  biases?: number;
}

export function expertsParams({ first, count, add, biases = 0 }: ExpertsParams): Uint32Array {
  return params("u32", first, "u32", count, "u32", add ? 1 : 0, "u32", biases);
}

/**
 * Workgroups of one dispatch.
 *
 * @param units rows, lines or tiles, as many as the kind has
 * @param rows weight rows of an expert
 */
export function expertsWorkgroups(
  units: number,
  rows: number,
  { outputs }: ExpertsVariant,
  maxPerDimension: number,
): [number, number, number] {
  const groups = Math.ceil(rows / outputs);
  const y = Math.min(groups, maxPerDimension);
  return [units, y, Math.ceil(groups / y)];
}

/** Lines of a tile. */
export const EXPERT_TILE = 4;

export interface GroupShape {
  experts: number;
  chosen: number;
  /** Rows that the buffer of rows has room for. */
  maxRows: number;
}

/**
 * The kernel that gathers the lines of each expert in tiles of `EXPERT_TILE`; one workgroup.
 *
 * Buffers: routes, rows, tiles.
 */
export function groupKernel({ experts, chosen, maxRows }: GroupShape, workgroup: number): KernelSpec {
  return {
    name: "group by expert",
    source: "experts/group.wgsl",
    constants: {
      EXPERTS: experts,
      CHOSEN: chosen,
      TILE: EXPERT_TILE,
      MAX_ROWS: maxRows,
      WORKGROUP: workgroup,
    },
    bindings: ["read", "read", "write"],
  };
}

/** The most tiles that lines of so many rows make. */
export function mostTiles(rows: number, experts: number, chosen: number): number {
  const lines = rows * chosen;
  return Math.floor(lines / EXPERT_TILE) + Math.min(experts, lines);
}

/** Words of the buffer of tiles. */
export function tileWords(rows: number, experts: number, chosen: number): number {
  return 1 + mostTiles(rows, experts, chosen) * (EXPERT_TILE + 2);
}

/**
 * The kernel that adds up the products of a row's experts. Launched by `elementwiseWorkgroups(columns, R)`.
 *
 * Buffers: products [lines, columns] f32, routes, output [R, columns] f32.
 */
export function combineKernel(columns: number, chosen: number, add: boolean): KernelSpec {
  return {
    name: "combine experts",
    source: "experts/combine.wgsl",
    constants: { COLUMNS: columns, CHOSEN: chosen, ADD: add, WORKGROUP: ELEMENTWISE_WORKGROUP },
    bindings: ["read", "read", "write"],
  };
}
