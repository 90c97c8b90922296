/** A worker's memories ("banks") and the views that the executor uses on them. */
import { instantiateKernels, type Kernels } from "../../kernels/wasm-module.ts";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { BankPlan } from "./plan.ts";

const PAGE = 65536;

/** One linear memory: shared, so that peers copy into it, with an instance of the kernels over it. */
export interface Bank {
  kernels: Kernels;
  f32: Float32Array;
  i32: Int32Array;
  u8: Uint8Array;
}

/** Address space is reserved at once; the system commits pages as they are touched. */
export function createBankMemory(plan: BankPlan): WebAssembly.Memory {
  const pages = plan.bytes / PAGE;
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    throw new ModelComposeError(
      "out-of-memory",
      `A WebAssembly memory of ${plan.bytes} bytes could not be reserved: ${errorMessage(error)}.`,
      {
        remedy: "Use a smaller context length (contextLength) or a smaller model, or close other programs.",
        parameter: "contextLength",
        cause: error,
      },
    );
  }
}

export function openBank(module: WebAssembly.Module, memory: WebAssembly.Memory): Bank {
  const { buffer } = memory;
  return {
    kernels: instantiateKernels(module, memory),
    f32: new Float32Array(buffer),
    i32: new Int32Array(buffer),
    u8: new Uint8Array(buffer),
  };
}
