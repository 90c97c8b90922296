/** The kernel of a sum of two buffers, for programs in which it cannot be folded into the product before it. */
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

/**
 * total += input, both [R, columns] f32. Launched by `elementwiseWorkgroups(columns, R)`.
 *
 * Buffers: input, total.
 */
export function addKernel(columns: number): KernelSpec {
  return {
    name: "add",
    source: "add/add.wgsl",
    constants: { COLUMNS: columns, WORKGROUP: ELEMENTWISE_WORKGROUP },
    bindings: ["read", "write"],
  };
}
