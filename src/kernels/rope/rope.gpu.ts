/**
 * The kernel of rotary embedding by itself, for programs in which it cannot be folded into the products of query and
 * key.
 */
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

export interface RopeShape {
  heads: number;
  headDim: number;
  /** Number of elements of a head that are rotated, from its first on; even. */
  rotary: number;
}

/**
 * Rotates every row of buffer [R, heads · headDim] f32 in place by its position (Su et al. 2021). Launched by
 * `elementwiseWorkgroups(ropePairs(shape), R)`.
 *
 * Buffers: buffer, rope [context][rotary / 2] of (cos, sin), rows (u32).
 */
export function ropeKernel({ heads, headDim, rotary }: RopeShape, maxRows: number): KernelSpec {
  return {
    name: "rope",
    source: "rope/rope.wgsl",
    constants: {
      HEADS: heads,
      HEAD_DIM: headDim,
      ROTARY: rotary,
      WORKGROUP: ELEMENTWISE_WORKGROUP,
      MAX_ROWS: maxRows,
    },
    bindings: ["write", "read", "read"],
  };
}

/** Number of pairs of elements that are rotated in a row. */
export function ropePairs({ heads, rotary }: Pick<RopeShape, "heads" | "rotary">): number {
  return (heads * rotary) / 2;
}
