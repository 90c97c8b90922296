/** The kernel of a gated linear unit's gate over the rows of a pass; see gate.wgsl. */
import type { Activation, GateClamp } from "../activate/activation.ts";
import { ELEMENTWISE_WORKGROUP, elementwiseWorkgroups } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

/**
 * Where the kernel finds its operands.
 *
 * - "stacked": rows of [gate; up] in one buffer x [R, 2 · columns], as a product with both matrices leaves them; the
 *   result has a buffer of its own. Buffers: x, output.
 * - "apart": gate and up have buffers, as has the result. Buffers: gate, up, output.
 * - "over gate", "over up": the result replaces that operand. Buffers: output, the other operand.
 */
export type GateOperands = "stacked" | "apart" | "over gate" | "over up";

/**
 * The kernel of output [R, columns] = activation(gate) · up (Shazeer 2020), f32; see `GateOperands` for the buffers.
 *
 * @param clamp how the unit is clamped, in the place of the activation; absent: it is not
 */
export function gateKernel(
  columns: number,
  activation: Activation,
  operands: GateOperands,
  clamp?: GateClamp,
): KernelSpec {
  return {
    name: "gate",
    source: "gate/gate.wgsl",
    constants: {
      CLAMPED: clamp !== undefined,
      ...(clamp === undefined ? { ACTIVATION: activation } : { ALPHA: clamp.alpha, LIMIT: clamp.limit }),
      COLUMNS: columns,
      OPERANDS: operands,
      QUADS: columns % 4 === 0,
      WORKGROUP: ELEMENTWISE_WORKGROUP,
    },
    bindings: BINDINGS[operands],
  };
}

const BINDINGS: Readonly<Record<GateOperands, KernelSpec["bindings"]>> = {
  stacked: ["read", "write"],
  apart: ["read", "read", "write"],
  "over gate": ["write", "read"],
  "over up": ["write", "read"],
};

/**
 * Workgroups of the gate kernel.
 *
 * @param rows at most 65535, the limit of every adapter
 */
export function gateWorkgroups(columns: number, rows: number): [number, number, number] {
  return elementwiseWorkgroups(columns % 4 === 0 ? columns / 4 : columns, rows);
}
