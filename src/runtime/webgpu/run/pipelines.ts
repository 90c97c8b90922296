/** Compiled kernels of one device; equal variants are compiled once. */
import { kernelKey, shaderCode, type BindingKind, type KernelSpec } from "../../../kernels/wgsl/kernel.ts";
import { errorMessage, ModelComposeError } from "../../../base/errors.ts";
import { availableCores } from "../../platform/system.ts";
import { COMPUTE_STAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";

const BUFFER_TYPES: Readonly<Record<BindingKind, GPUBufferBindingType>> = {
  read: "read-only-storage",
  write: "storage",
  uniform: "uniform",
};

const MOST_AT_ONCE = availableCores();

export class Pipelines {
  readonly #context: GpuContext;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #compiling = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** Kernels with the same kinds of bindings have one layout, so that they share bind groups. */
  layout(bindings: readonly BindingKind[]): GPUBindGroupLayout {
    const key = bindings.join();
    const known = this.#layouts.get(key);
    if (known !== undefined) {
      return known;
    }
    const layout = this.#context.device.createBindGroupLayout({
      entries: bindings.map((kind, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: BUFFER_TYPES[kind] },
      })),
    });
    this.#layouts.set(key, layout);
    return layout;
  }

  /**
   * The compiled kernel of a variant.
   *
   * @throws ModelComposeError "device" with the compiler's message
   */
  get(spec: KernelSpec): Promise<GPUComputePipeline> {
    const key = kernelKey(spec);
    const pipeline = this.#pipelines.get(key) ?? this.#compile(spec);
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  async #compile(spec: KernelSpec): Promise<GPUComputePipeline> {
    const { device } = this.#context;
    // Destroying a device waits for all that it was given to compile: the queue is ours, and short.
    if (this.#compiling >= MOST_AT_ONCE) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#compiling++;
    try {
      this.#context.checkAlive();
      const module = device.createShaderModule({ label: spec.name, code: shaderCode(spec) });
      const layout = device.createPipelineLayout({ bindGroupLayouts: [this.layout(spec.bindings)] });
      return await device.createComputePipelineAsync({
        label: spec.name,
        layout,
        compute: { module, entryPoint: "main" },
      });
    } catch (error) {
      this.#context.checkAlive();
      throw new ModelComposeError(
        "device",
        `The kernel "${spec.name}" does not compile on ${this.#context.summary.name}: ${errorMessage(error)}`,
        { remedy: 'Use the device "wasm" (the CPU), and report this message.', cause: error },
      );
    } finally {
      this.#compiling--;
      this.#waiting.shift()?.();
    }
  }
}
