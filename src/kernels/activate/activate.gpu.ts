/** The kernel of an activation by itself, for programs in which it cannot be folded into the product before it. */
import type { Activation } from "./activation.ts";
import { ELEMENTWISE_WORKGROUP } from "../common/elementwise.gpu.ts";
import type { KernelSpec } from "../wgsl/kernel.ts";

/**
 * output = activation(input), both [R, columns] f32. Launched by `elementwiseWorkgroups(columns, R)`.
 *
 * Buffers: input (unless `inPlace`), output.
 */
export function activateKernel(columns: number, activation: Activation, inPlace: boolean): KernelSpec {
  return {
    name: activation,
    source: "activate/activate.wgsl",
    constants: {
      ACTIVATION: activation,
      IN_PLACE: inPlace,
      COLUMNS: columns,
      WORKGROUP: ELEMENTWISE_WORKGROUP,
    },
    bindings: inPlace ? ["write"] : ["read", "write"],
  };
}
