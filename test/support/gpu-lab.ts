/** A GPU device with validation and robustness on, for tests of single WGSL kernels. */
import { kernelKey, shaderCode, type KernelSpec } from "../../src/kernels/wgsl/kernel.ts";
import { openGpu } from "../../src/runtime/platform/gpu.ts";
import { COMPUTE_STAGE, MAP, USAGE } from "../../src/runtime/webgpu/run/constants.ts";
import { checkGuard, GUARD, GUARD_WORDS } from "./guard.ts";

type Words = Uint32Array | Uint16Array | Int32Array | Float32Array | Uint8Array;

/** A buffer of the laboratory. */
export interface LabBuffer {
  gpu: GPUBuffer;
  /** Number of words, without the guard. */
  words: number;
}

export class GpuLab {
  readonly device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #buffers: LabBuffer[] = [];

  private constructor(device: GPUDevice) {
    this.device = device;
  }

  /**
   * Opens a device. It fails and never skips: a machine without an adapter proves nothing. `features` are asked for
   * where they exist.
   */
  static async open(features: readonly GPUFeatureName[] = ["subgroups"]): Promise<GpuLab> {
    // The kernels run as in production, over the dirt that other workgroups left.
    const gpu = await openGpu(["enable-dawn-features=disable_workgroup_init"]);
    const adapter = await gpu.requestAdapter();
    if (adapter === null) {
      throw new Error(
        "There is no WebGPU adapter to test on; on Linux x64, @sparticuz/chromium should carry one.",
      );
    }
    const { limits } = adapter;
    const device = await adapter.requestDevice({
      requiredFeatures: features.filter((name) => adapter.features.has(name)),
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      },
    });
    return new GpuLab(device);
  }

  has(feature: GPUFeatureName): boolean {
    return this.device.features.has(feature);
  }

  /** A buffer that holds these numbers, or `words` words of NaN. */
  buffer(content: Words | number): LabBuffer {
    const bytes = typeof content === "number" ? content * 4 : Math.ceil(content.byteLength / 4) * 4;
    const gpu = this.device.createBuffer({
      size: bytes + GUARD_WORDS * 4,
      usage: USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST,
      mappedAtCreation: true,
    });
    const range = gpu.getMappedRange();
    new Uint32Array(range).fill(GUARD);
    if (typeof content !== "number") {
      new Uint8Array(range).set(new Uint8Array(content.buffer, content.byteOffset, content.byteLength));
    }
    gpu.unmap();
    const buffer = { gpu, words: bytes / 4 };
    this.#buffers.push(buffer);
    return buffer;
  }

  /** A uniform buffer with these words: numbers written as u32, or as f32 where `f32(…)` gave them. */
  uniform(words: Uint32Array): LabBuffer {
    const gpu = this.device.createBuffer({
      size: Math.max(16, Math.ceil(words.byteLength / 16) * 16),
      usage: USAGE.UNIFORM | USAGE.COPY_DST,
    });
    this.device.queue.writeBuffer(gpu, 0, words);
    return { gpu, words: words.length };
  }

  /** Runs a kernel once; validation errors are thrown. */
  async run(
    spec: KernelSpec,
    buffers: readonly LabBuffer[],
    workgroups: readonly [number, number?, number?],
  ): Promise<void> {
    const { device } = this;
    const key = kernelKey(spec);
    const pipeline = await (this.#pipelines.get(key) ?? this.#compile(key, spec));
    device.pushErrorScope("validation");
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map(({ gpu }, binding) => ({ binding, resource: { buffer: gpu } })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const error = await device.popErrorScope();
    if (error !== null) {
      throw new Error(`${spec.name}: ${error.message}`);
    }
  }

  async readWords(buffer: LabBuffer): Promise<Uint32Array> {
    const { device } = this;
    const size = buffer.words * 4 + GUARD_WORDS * 4;
    const staging = device.createBuffer({ size, usage: USAGE.MAP_READ | USAGE.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer.gpu, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ);
    const all = new Uint32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    checkGuard(
      all,
      Array.from({ length: GUARD_WORDS }, (_, i) => buffer.words + i),
    );
    return all.subarray(0, buffer.words);
  }

  async read(buffer: LabBuffer): Promise<Float32Array> {
    return new Float32Array((await this.readWords(buffer)).slice().buffer);
  }

  /** Destroys all buffers made so far. */
  reset(): void {
    for (const { gpu } of this.#buffers.splice(0)) {
      gpu.destroy();
    }
  }

  close(): void {
    this.device.destroy();
  }

  #compile(key: string, spec: KernelSpec): Promise<GPUComputePipeline> {
    const pipeline = (async () => {
      const { device } = this;
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ label: spec.name, code: shaderCode(spec) });
      const layout = device.createPipelineLayout({
        bindGroupLayouts: [
          device.createBindGroupLayout({
            entries: spec.bindings.map((kind, binding) => ({
              binding,
              visibility: COMPUTE_STAGE,
              buffer: {
                type: kind === "read" ? "read-only-storage" : kind === "write" ? "storage" : "uniform",
              },
            })),
          }),
        ],
      });
      const made = device.createComputePipelineAsync({ layout, compute: { module, entryPoint: "main" } });
      const [error, result] = await Promise.allSettled([device.popErrorScope(), made]);
      if (error.status === "fulfilled" && error.value !== null) {
        throw new Error(`${spec.name}: ${error.value.message}\n${shaderCode(spec)}`);
      }
      if (result.status === "rejected") {
        throw new Error(`${spec.name}: ${String(result.reason)}`);
      }
      return result.value;
    })();
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }
}
