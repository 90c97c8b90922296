/** Ops on single elements, for programs in which they cannot be folded into the op before or after. */
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

/** SwiGLU's product, into gate. Buffers: gate, up, rows. */
export function activateKernel(columns: number, maxRows: number): KernelSpec {
  return {
    name: "activate",
    source: "elementwise/activate.wgsl",
    constants: { COLUMNS: columns, WORKGROUP, MAX_ROWS: maxRows },
    bindings: ["write", "read", "read"],
  };
}

/** Buffers: buffer, rope, rows. */
export function rotateKernel(heads: number, headDim: number, maxRows: number): KernelSpec {
  return {
    name: "rotate",
    source: "elementwise/rotate.wgsl",
    constants: { HEADS: heads, HEAD_DIM: headDim, WORKGROUP, MAX_ROWS: maxRows },
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
