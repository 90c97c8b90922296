import type { KernelSpec } from "../wgsl/kernel.ts";

/**
 * The kernel that reads a buffer once: it computes the XOR of its words, a partial one for each workgroup (however many
 * there are). Buffers: words (a multiple of 16 bytes), partials (u32, one a workgroup).
 *
 * @param workgroup invocations, a power of two
 */
export function readKernel(workgroup: number): KernelSpec {
  return {
    name: "read",
    source: "probe/read.wgsl",
    constants: { WORKGROUP: workgroup },
    bindings: ["read", "write"],
  };
}
