import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** The norm, and the columns of a row. */
export interface NormShape {
  kind: "rms" | "layer";
  columns: number;
  bias: boolean;
}

/**
 * The kernel of a root mean square or layer norm of whole rows; one workgroup a row.
 *
 * Buffers: x and output [R, columns] f32, vectors (f32; gain and bias lie in it), params.
 */
export function normKernel(
  { kind, columns, bias }: NormShape,
  { subgroups, workgroup }: { subgroups: boolean; workgroup: number },
): KernelSpec {
  return {
    name: kind === "rms" ? "norm" : "layer norm",
    source: "norm/norm.wgsl",
    constants: { KIND: kind, COLUMNS: columns, BIAS: bias, WORKGROUP: workgroup, SUBGROUPS: subgroups },
    bindings: ["read", "read", "write", "uniform"],
  };
}

/** The scalars of the kernel. */
export interface NormParams {
  /** Where gain and bias begin in the buffer of vectors, in numbers. */
  gain: number;
  bias: number;
  epsilon: number;
}

export function normParams({ gain, bias, epsilon }: NormParams): Uint32Array {
  return params("u32", gain, "u32", bias, "f32", epsilon);
}
