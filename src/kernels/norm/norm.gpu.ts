import type { KernelSpec } from "../wgsl/kernel.ts";
import { params } from "../wgsl/params.ts";

/** The norm, and the columns of a head, of which a row has one or several. */
export interface NormShape {
  kind: "rms" | "layer";
  columns: number;
  heads?: number;
  bias: boolean;
  /** Whether the results are added to what the output has. */
  add?: boolean;
}

/**
 * The kernel of a root mean square or layer norm of the heads of rows; one workgroup a head.
 *
 * Buffers: x and output [R, heads, columns] f32, vectors (f32; gain and bias lie in it), params.
 */
export function normKernel(
  { kind, columns, heads = 1, bias, add = false }: NormShape,
  { subgroups, workgroup }: { subgroups: boolean; workgroup: number },
): KernelSpec {
  return {
    name: `${kind === "rms" ? "norm" : "layer norm"}${add ? " + add" : ""}`,
    source: "norm/norm.wgsl",
    constants: {
      KIND: kind,
      COLUMNS: columns,
      HEADS: heads,
      BIAS: bias,
      ADD: add,
      WORKGROUP: workgroup,
      SUBGROUPS: subgroups,
    },
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
