/** SwiGLU's gate over the rows of a pass; see gate.wgsl. */
import type { KernelSpec } from "../wgsl/kernel.ts";

const WORKGROUP = 256;

/** output [R, columns] = silu(gate) · up of x [R, 2 · columns], whose rows are [gate; up]. Buffers: x, output; f32. */
export function gateKernel(columns: number): KernelSpec {
  return {
    name: "gate",
    source: "gate/gate.wgsl",
    constants: { COLUMNS: columns, QUADS: columns % 4 === 0, WORKGROUP },
    bindings: ["read", "write"],
  };
}

/** @param rows at most 65535, the limit of every adapter */
export function gateWorkgroups(columns: number, rows: number): [number, number] {
  return [Math.ceil(columns / (columns % 4 === 0 ? 4 : 1) / WORKGROUP), rows];
}
