/** Ops on single elements, for programs in which they cannot be folded into the op before or after. */
import type { Activation } from "../common/activation.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

const WORKGROUP = 256;

/** Buffers: input, output, rows. */
export function addKernel(columns: number, maxRows: number): KernelSpec {
  return {
    name: "add",
    source: "elementwise/add.wgsl",
    constants: { COLUMNS: columns, WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["read", "write", "read"],
  };
}

/** Buffers: input (unless `inPlace`), output, rows. */
export function activateKernel(
  columns: number,
  activation: Activation,
  inPlace: boolean,
  maxRows: number,
): KernelSpec {
  return {
    name: activation,
    source: "elementwise/activate.wgsl",
    constants: {
      ...{ ACTIVATION: activation, IN_PLACE: inPlace, COLUMNS: columns },
      ...{ WORKGROUP, MAX_ROWS: maxRows },
    },
    bindings: [...(inPlace ? [] : (["read"] as const)), "write", "read"],
  };
}

/** SwiGLU's product, into gate. Buffers: gate, up, rows. */
export function swigluKernel(columns: number, maxRows: number): KernelSpec {
  return {
    name: "swiglu",
    source: "elementwise/swiglu.wgsl",
    constants: { COLUMNS: columns, WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["write", "read", "read"],
  };
}

export interface RotateShape {
  heads: number;
  headDim: number;
  /** Elements of a head that are rotated, from its first on; even. */
  rotary: number;
}

/** Buffers: buffer, rope, rows. */
export function rotateKernel({ heads, headDim, rotary }: RotateShape, maxRows: number): KernelSpec {
  return {
    name: "rotate",
    source: "elementwise/rotate.wgsl",
    constants: { HEADS: heads, HEAD_DIM: headDim, ROTARY: rotary, WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["write", "read", "read"],
  };
}

/** Buffers: key, value, keys, values, rows. */
export function appendKernel(columns: number, context: number, maxRows: number): KernelSpec {
  return {
    name: "append",
    source: "elementwise/append.wgsl",
    constants: { COLUMNS: columns, CONTEXT: context, WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["read", "read", "write", "write", "read"],
  };
}

/** @param elements of a row: columns, or pairs */
export function elementwiseWorkgroups(elements: number, rows: number): [number, number, number] {
  return [Math.ceil(elements / WORKGROUP), rows, 1];
}
