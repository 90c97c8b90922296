import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** RMSNorm of whole rows; one workgroup a row. Buffers: x, vectors, output, params. */
export function normKernel(
  columns: number,
  { subgroups, workgroup }: { subgroups: boolean; workgroup: number },
): KernelSpec {
  return {
    name: "norm",
    source: "norm/norm.wgsl",
    constants: { COLUMNS: columns, WORKGROUP: workgroup, SUBGROUPS: subgroups },
    bindings: ["read", "read", "write", "uniform"],
  };
}

/** @param gain where the gain begins in the buffer of vectors, in numbers */
export function normParams(gain: number, epsilon: number): Uint32Array {
  return params("u32", gain, "f32", epsilon);
}
