/** The devices that the contract is tested on: the CPU, and the GPU in the variants that adapters call for. */
import type { Executable, ExecutableOptions, LoadHooks } from "../../src/runtime/backend.ts";
import { WasmBackend, type WasmOptions } from "../../src/runtime/wasm/backend.ts";
import { WebGpuBackend, type WebGpuOptions } from "../../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import type { GoldenModel } from "./golden.ts";

/** Part of the name of the adapter to test on; see software-gpu.ts. */
export const ADAPTER = process.env.MODEL_COMPOSE_TEST_ADAPTER ?? "swiftshader";

export type LoadSettings = Partial<ExecutableOptions> &
  LoadHooks & {
    /** Most rows of one pass. */
    maxRows?: number;
  };

export interface TestDevice<E extends Executable = Executable> {
  name: string;
  load: (model: Pick<GoldenModel, "program" | "checkpoint">, settings?: LoadSettings) => Promise<E>;
}

const LOADING = { contextLength: 256, slots: 1 };

export function wasmDevice(name: string, options: WasmOptions): TestDevice {
  return {
    name,
    load: async ({ program, checkpoint }, { maxRows, onWeights, signal, ...loading } = {}) => {
      const backend = new WasmBackend({ ...options, maxRows });
      const preparation = await backend.prepare(program, checkpoint, { ...LOADING, ...loading });
      return preparation.load({ onWeights, signal });
    },
  };
}

/**
 * A GPU to test on, with kernels as hardware runs them: they do not clamp their indices, which on a GPU in software makes them
 * compile and run in half the time. Dawn's checks of calls are on; contract-programs.test.ts has the guards on too, for every
 * role. A machine without the adapter fails: nothing would be proved.
 */
export function gpuDevice(name: string, options: WebGpuOptions = {}): TestDevice<WebGpuExecutable> {
  return {
    name,
    load: async ({ program, checkpoint }, { maxRows, onWeights, signal, ...loading } = {}) => {
      const backend = new WebGpuBackend({ name: ADAPTER, validation: "off", maxRows, ...options });
      const preparation = await backend.prepare(program, checkpoint, { ...LOADING, ...loading });
      return preparation.load({ onWeights, signal });
    },
  };
}

export const GPU = gpuDevice("webgpu");
export const GPU_WITHOUT_SUBGROUPS = gpuDevice("webgpu without subgroups", { disable: { subgroups: true } });
/** A GPU with sizes of workgroups as for hardware, where the adapter is software. */
export const GPU_LIKE_HARDWARE = gpuDevice("webgpu with the sizes for hardware", {
  forced: { kind: "hardware" },
});

/** A GPU that binds no more than `bindingLimit` bytes: larger matrices are cut, stacks of matrices stay apart. */
export function gpuOfSmallBindings(bindingLimit: number): TestDevice<WebGpuExecutable> {
  return gpuDevice(`webgpu that binds ${bindingLimit} bytes`, { bindingLimit });
}
