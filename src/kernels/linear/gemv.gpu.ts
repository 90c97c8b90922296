/** The product of a weight matrix with few token rows; see gemv.wgsl. */
import type { Activation } from "../activate/activation.ts";
import type { CacheFormat } from "../append/append.gpu.ts";
import type { BindingKind, KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";
import {
  CHUNK_BYTES,
  chunkQuads,
  chunksOf,
  isAligned,
  isQuantized,
  rowStride,
  type WeightShape,
} from "../format.ts";

/** What happens to the products. Matrices [q; k; v] and [gate; up] are stacked by rows. */
export type Epilogue =
  | { kind: "store"; activation?: Activation; /** Whether the results have a soft cap. */ isCapped?: boolean }
  | { kind: "add" }
  | { kind: "gate"; activation: Activation }
  | {
      kind: "qkv";
      /** Heads of queries, keys and values that the weight makes, in this order; any may be none. */
      heads: number;
      keyHeads: number;
      valueHeads: number;
      /** Heads of keys, and as many of values, that the cache has. */
      kvHeads: number;
      headDim: number;
      context: number;
      cache: CacheFormat;
      /** Number of elements of a head that are rotated, from its first on; even. 0: none. */
      rotary: number;
    };

/** The matrix, and what is folded into the product. */
export interface GemvShape extends WeightShape {
  /** Columns of the output buffer: for "gate" half of the weight's rows, for "qkv" those of q. */
  outputColumns: number;
  norm: boolean;
  bias: boolean;
  epilogue: Epilogue;
  /** Whether rows are the ones whose logits are wanted, instead of all. */
  gather: boolean;
  /** Rows that the buffer of rows has room for. */
  maxRows: number;
  /** Weight rows, where there is one shard: then reads of weights wait for no params. Default: as the params say. */
  count?: number;
}

/** How the work is dealt to workgroups. */
export interface GemvVariant {
  subgroups: boolean;
  workgroup: number;
  /** Weight rows of a workgroup; even. */
  outputs: number;
  /** Token rows of a workgroup. */
  tile: number;
  /** Chunks of every weight row that an invocation reads at a time. Default: 1. */
  unroll?: number;
}

/**
 * The kernel of output [R, outputColumns] f32 from x [R, columns] f32 and weight [count, columns], for few rows.
 *
 * Buffers: x, vectors (f32), weight, output, rows (u32), for "qkv" keys and values [slot][context][kvHeads · headDim]
 * in the cache's format and, with a rotation, rope [context][rotary / 2] of (cos, sin), params.
 */
export function gemvKernel(shape: GemvShape, variant: GemvVariant): KernelSpec {
  const { format, columns, outputColumns, norm, bias, epilogue, gather, maxRows, count = 0 } = shape;
  const { subgroups, workgroup, outputs, tile, unroll = 1 } = variant;
  const isQkv = epilogue.kind === "qkv";
  const activation = ("activation" in epilogue ? epilogue.activation : undefined) ?? "none";
  const bindings: BindingKind[] = ["read", "read", "read", "write", "read"];
  if (isQkv) {
    bindings.push("write", "write", ...(epilogue.rotary > 0 ? (["read"] as const) : []));
  }
  return {
    name: `gemv ${gather ? "logits" : epilogue.kind === "store" && activation !== "none" ? activation : epilogue.kind}${norm ? " + norm" : ""}`,
    source: "linear/gemv.wgsl",
    constants: {
      FORMAT: format,
      GROUPED: isQuantized(format),
      COLUMNS: columns,
      CHUNKS: chunksOf(shape),
      CHUNK_QUADS: chunkQuads(shape.format),
      WEIGHT_STRIDE: rowStride(shape) / CHUNK_BYTES,
      OUTPUT_COLUMNS: outputColumns,
      NORM: norm,
      BIAS: bias,
      GATHER: gather,
      ALIGNED: isAligned(shape),
      EPILOGUE: epilogue.kind,
      ACTIVATION: activation,
      SOFT_CAP: epilogue.kind === "store" && epilogue.isCapped === true,
      SUBGROUPS: subgroups,
      WORKGROUP: workgroup,
      OUTPUTS: outputs,
      TILE: tile,
      SUMS: (outputs + (norm ? 1 : 0)) * tile,
      COUNT: count,
      UNROLL: unroll,
      // The loop over turns itself ends before a turn of one chunk that is not there.
      WHOLE_TURNS: unroll === 1 || chunksOf(shape) % (workgroup * unroll) === 0,
      MAX_ROWS: maxRows,
      ...(isQkv && {
        HEADS: epilogue.heads,
        KEY_HEADS: epilogue.keyHeads,
        VALUE_HEADS: epilogue.valueHeads,
        KV_HEADS: epilogue.kvHeads,
        HEAD_DIM: epilogue.headDim,
        CONTEXT: epilogue.context,
        CACHE: epilogue.cache,
        ROPE: epilogue.rotary > 0,
        PARTIAL: epilogue.rotary > 0 && epilogue.rotary < epilogue.headDim,
        ...(epilogue.rotary > 0 && { ROTARY: epilogue.rotary }),
      }),
    },
    bindings: [...bindings, "uniform"],
  };
}

/** The least workgroup that is worth having: hardware runs no fewer invocations at once. */
const LEAST_WORKGROUP = 32;

/**
 * The variant with no more invocations than a row of the weight has chunks: a chunk of few bits has many columns, and an
 * invocation without one would only wait for the others.
 */
export function fitWorkgroup(variant: GemvVariant, shape: WeightShape): GemvVariant {
  const { outputs, tile, unroll = 1 } = variant;
  let { workgroup } = variant;
  const chunks = chunksOf(shape);
  while (workgroup / 2 >= Math.max(chunks, LEAST_WORKGROUP, outputs * tile)) {
    workgroup /= 2;
  }
  return { ...variant, workgroup, unroll: Math.min(unroll, Math.ceil(chunks / workgroup)) };
}

/** The scalars of the kernel. */
export interface GemvParams {
  /** Where gain and bias begin in the buffer of vectors, in numbers; multiples of 4. */
  gain: number;
  bias: number;
  epsilon: number;
  /** First weight row of the shard, which has `count` rows. */
  first: number;
  count: number;
  /** The soft cap of the results. Default 0: none. */
  cap?: number;
}

export function gemvParams({ gain, bias, epsilon, first, count, cap = 0 }: GemvParams): Uint32Array {
  return params("u32", gain, "u32", bias, "f32", epsilon, "u32", first, "u32", count, "f32", cap);
}

/**
 * Workgroups of one dispatch.
 *
 * @param count weight rows of the shard
 * @param rows token rows
 */
export function gemvWorkgroups(
  count: number,
  rows: number,
  { outputs, tile }: GemvVariant,
  maxPerDimension: number,
): [number, number, number] {
  const groups = Math.ceil(count / outputs);
  const y = Math.min(groups, maxPerDimension);
  return [Math.ceil(rows / tile), y, Math.ceil(groups / y)];
}
