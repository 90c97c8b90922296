/** The kernel that rotates q and k and puts k and v into the cache, over the rows of a pass; see rope-append.wgsl. */
import type { CacheFormat } from "../append/append.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

const WORKGROUP = 256;

/** The heads, the cache, and how much of a head is rotated. */
export interface RopeAppendShape {
  heads: number;
  kvHeads: number;
  /** Numbers of a head; even. */
  headDim: number;
  /** Number of positions of a slot. */
  context: number;
  /** Number of elements of a head that are rotated, from its first on; even. 0: none (NoPE layers). */
  rotary: number;
  cache: CacheFormat;
  /** Rows that the buffer of rows has room for. */
  maxRows: number;
}

/**
 * The kernel that rotates and appends.
 *
 * Buffers, f32: qkv [R, (heads + 2 · kvHeads) · headDim], query [R, heads · headDim], keys and values
 * [slot][context][kvHeads · headDim] in the cache's format, rows (u32), and with `rotary` the table [context][rotary / 2] of (cos, sin).
 */
export function ropeAppendKernel(shape: RopeAppendShape): KernelSpec {
  const { heads, kvHeads, headDim, context, rotary, cache, maxRows } = shape;
  const hasRope = rotary > 0;
  return {
    name: hasRope ? "rope + append" : "append",
    source: "rope/rope-append.wgsl",
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: context,
      CACHE: cache,
      MAX_ROWS: maxRows,
      ROPE: hasRope,
      WORKGROUP,
      ...(hasRope && { ROTARY: rotary }),
    },
    bindings: ["read", "write", "write", "write", "read", ...(hasRope ? (["read"] as const) : [])],
  };
}

/**
 * Workgroups of the kernel.
 *
 * @param rows at most 65535, the limit of every adapter
 */
export function ropeAppendWorkgroups(
  { heads, kvHeads, headDim }: RopeAppendShape,
  rows: number,
): [number, number] {
  return [Math.ceil(((heads + 2 * kvHeads) * headDim) / 2 / WORKGROUP), rows];
}
