/** The kernel that packs x as scaled f16, for the kernels that multiply in f16; see gemm-pack.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";

/** Words of a packed row: halves padded with zeros to 16 bytes, then 16 bytes that begin with the row's scale (f32). */
export function packedWords(columns: number): number {
  return 4 * Math.ceil(columns / 8) + 4;
}

/**
 * The kernel that packs the rows of x; one workgroup a row.
 *
 * Buffers: x f32 [R, columns], packed u32 [R, packedWords(columns)].
 */
export function packKernel(columns: number): KernelSpec {
  return {
    name: "gemm pack",
    source: "linear/gemm-pack.wgsl",
    constants: { COLUMNS: columns, STRIDE: packedWords(columns) },
    bindings: ["read", "write"],
  };
}
