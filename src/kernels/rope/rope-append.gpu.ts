/** Rotary embedding of q and k, and k and v into the cache, over the rows of a pass; see rope-append.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";

const WORKGROUP = 256;

export interface RopeAppendShape {
  heads: number;
  kvHeads: number;
  /** Even. */
  headDim: number;
  /** Positions of a slot. */
  context: number;
  /** Elements of a head that are rotated, from its first on; even. 0: none (NoPE layers). */
  rotary: number;
  /** Of the buffer of rows. */
  maxRows: number;
}

/**
 * Buffers, f32: qkv [R, (heads + 2 · kvHeads) · headDim], query [R, heads · headDim], keys and values
 * [slot][context][kvHeads · headDim], rows (u32), and with `rotary` the table [context][rotary / 2] of (cos, sin).
 */
export function ropeAppendKernel(shape: RopeAppendShape): KernelSpec {
  const { heads, kvHeads, headDim, context, rotary, maxRows } = shape;
  const hasRope = rotary > 0;
  return {
    name: hasRope ? "rope + append" : "append",
    source: "rope/rope-append.wgsl",
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: context,
      MAX_ROWS: maxRows,
      ROPE: hasRope,
      WORKGROUP,
      ...(hasRope && { ROTARY: rotary }),
    },
    bindings: ["read", "write", "write", "write", "read", ...(hasRope ? (["read"] as const) : [])],
  };
}

/** @param rows at most 65535, the limit of every adapter */
export function ropeAppendWorkgroups(
  { heads, kvHeads, headDim }: RopeAppendShape,
  rows: number,
): [number, number] {
  return [Math.ceil(((heads + 2 * kvHeads) * headDim) / 2 / WORKGROUP), rows];
}
