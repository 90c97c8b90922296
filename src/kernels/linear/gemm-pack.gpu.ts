/**
 * The kernels that pack x and weights as scaled f16, for the kernels that multiply in f16; see gemm-pack.wgsl and
 * gemm-pack-weight.wgsl.
 */
import { CHUNK_BYTES, chunksOf, elementBytes, isQuantized, rowStride, type WeightShape } from "../format.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** Columns of a packed row are padded with zeros to a multiple of this: to whole tiles of the kernels that read it. */
const PACKED_COLUMNS = 64;
/** Rows of a packed matrix are a multiple of this in memory, whatever lies in those beyond the last: kernels read whole tiles. */
const PACKED_ROWS = 128;

/** How many halves stand for a number: 2 for the 22 bits of two. */
export type Terms = 1 | 2;

/** Words of the halves of one term of a row. */
export function termWords(columns: number): number {
  return (Math.ceil(columns / PACKED_COLUMNS) * PACKED_COLUMNS) / 2;
}

/** Words of a packed row: halves of all terms, then 16 bytes that begin with the row's scale (f32). */
export function packedWords(columns: number, terms: Terms = 1): number {
  return terms * termWords(columns) + 4;
}

/** Words of a packed matrix. */
export function packedMatrixWords(rows: number, columns: number, terms: Terms = 1): number {
  return Math.ceil(rows / PACKED_ROWS) * PACKED_ROWS * packedWords(columns, terms);
}

/**
 * The kernel that packs the rows of x; one workgroup a row.
 *
 * Buffers: x f32 [R, columns], packed u32 [R, packedWords(columns, terms)].
 */
export function packKernel(columns: number, terms: Terms = 1): KernelSpec {
  return {
    name: "gemm pack",
    source: "linear/gemm-pack.wgsl",
    constants: {
      COLUMNS: columns,
      TERMS: terms,
      TERM_WORDS: termWords(columns),
      STRIDE: packedWords(columns, terms),
    },
    bindings: ["read", "write"],
  };
}

/**
 * The kernel that packs the rows of a shard of a weight. bf16 and f16 weights lose nothing that matters beside the row's
 * largest number; others are rounded to 11 bits.
 *
 * Buffers: weight, packed u32 [count, packedWords(columns)], params.
 */
export function packWeightKernel(shape: WeightShape): KernelSpec {
  return {
    name: "gemm pack weight",
    source: "linear/gemm-pack-weight.wgsl",
    constants: {
      ...weightQuadConstants(shape),
      WEIGHT_BINDING: 0,
      TERM_WORDS: termWords(shape.columns),
      STRIDE: packedWords(shape.columns),
    },
    bindings: ["read", "write", "uniform"],
  };
}

/** @param count rows of the shard */
export function packWeightParams(count: number): Uint32Array {
  return params("u32", count);
}

/**
 * Workgroups of one dispatch over a shard; y is used where x is not enough.
 *
 * @param count rows of the shard
 */
export function packWeightWorkgroups(count: number, maxPerDimension: number): [number, number] {
  const y = Math.ceil(count / maxPerDimension);
  return [Math.ceil(count / y), y];
}

/** The constants of weight-quad.wgsl, but for WEIGHT_BINDING. */
export function weightQuadConstants(shape: WeightShape): {
  FORMAT: string;
  GROUPED: boolean;
  WEIGHT_QUADS: number;
  WEIGHT_STRIDE: number;
} {
  const { format } = shape;
  return {
    FORMAT: format,
    GROUPED: isQuantized(format),
    // A quad of the weight has four columns.
    WEIGHT_QUADS: (chunksOf(shape) * CHUNK_BYTES) / elementBytes(format, 4),
    // Of quantised formats a load brings a chunk, of others a quad.
    WEIGHT_STRIDE: rowStride(shape) / (isQuantized(format) ? CHUNK_BYTES : elementBytes(format, 4)),
  };
}
