/** What is compared with the weights as they are stored. */
import type { Activations } from "../../src/runtime/device-types.ts";
import type { QuantizedFormat } from "../../src/kernels/format.ts";

export interface Variant {
  readonly quantization: QuantizedFormat;
  readonly activations: Activations;
}

/** Every way to hold and multiply weights on the CPU that is not exact. A precision of the KV cache would be one more column here. */
export const VARIANTS: readonly Variant[] = [
  { quantization: "int8", activations: "float32" },
  { quantization: "int8", activations: "int8" },
  { quantization: "int4", activations: "float32" },
  { quantization: "int4", activations: "int8" },
];
