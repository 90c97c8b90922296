/** Runs single kernels over buffers of their own: for checks of a device, and for benchmarks. */
import type { KernelSpec } from "../../../kernels/wgsl/kernel.ts";
import { MAP, USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";
import { Pipelines } from "./pipelines.ts";

/** A launch of a kernel. */
export interface Launch {
  spec: KernelSpec;
  /** Buffers, or parts of them, without the params. */
  buffers: readonly (GPUBuffer | GPUBufferBinding)[];
  params?: Uint32Array;
  workgroups: readonly [number, number, number];
}

/** A launch ready to be encoded. */
export interface RecordedLaunch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: Launch["workgroups"];
}

const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;

export class KernelRunner {
  readonly context: GpuContext;
  readonly pipelines: Pipelines;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #uniforms = new Map<string, GPUBuffer>();

  constructor(context: GpuContext) {
    this.context = context;
    this.pipelines = new Pipelines(context);
  }

  /** A buffer of so many bytes, or with this content. */
  async buffer(
    label: string,
    content: number | Float32Array | Uint32Array | Uint16Array,
  ): Promise<GPUBuffer> {
    const bytes = typeof content === "number" ? content : Math.ceil(content.byteLength / 4) * 4;
    const buffer = await this.context.createBuffer(label, bytes, STORAGE);
    this.#buffers.add(buffer);
    if (typeof content !== "number") {
      this.context.device.queue.writeBuffer(buffer, 0, content);
    }
    return buffer;
  }

  release(...buffers: readonly GPUBuffer[]): void {
    for (const buffer of buffers) {
      this.#buffers.delete(buffer);
      this.context.releaseBuffer(buffer);
    }
  }

  /** Releases all that it has made. */
  close(): void {
    this.release(...this.#buffers, ...this.#uniforms.values());
    this.#uniforms.clear();
  }

  /** Runs launches one behind the other, and waits for them. */
  async run(launches: readonly Launch[]): Promise<void> {
    const recorded = await this.record(launches);
    const { device } = this.context;
    const encoder = device.createCommandEncoder();
    encodeLaunches(encoder, recorded);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    this.context.checkAlive();
  }

  /** Numbers of a buffer from byte `at` on. */
  async read(buffer: GPUBuffer, at: number, count: number): Promise<Float32Array> {
    const { context } = this;
    const staging = await context.createBuffer("on its way", count * 4, USAGE.MAP_READ | USAGE.COPY_DST);
    const encoder = context.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, at, staging, 0, count * 4);
    context.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ);
    const numbers = new Float32Array(staging.getMappedRange().slice(0));
    context.releaseBuffer(staging);
    return numbers;
  }

  record(launches: readonly Launch[]): Promise<RecordedLaunch[]> {
    return Promise.all(
      launches.map(async ({ spec, buffers, params, workgroups }) => {
        const pipeline = await this.pipelines.get(spec);
        const resources: GPUBufferBinding[] = buffers.map((buffer) =>
          "buffer" in buffer ? buffer : { buffer },
        );
        if (params !== undefined) {
          resources.push({ buffer: await this.#uniform(params) });
        }
        const bindGroup = this.context.device.createBindGroup({
          layout: this.pipelines.layout(spec.bindings),
          entries: resources.map((resource, binding) => ({ binding, resource })),
        });
        return { pipeline, bindGroup, workgroups };
      }),
    );
  }

  async #uniform(words: Uint32Array): Promise<GPUBuffer> {
    const key = words.join();
    const known = this.#uniforms.get(key);
    if (known !== undefined) {
      return known;
    }
    const usage = USAGE.UNIFORM | USAGE.COPY_DST;
    const buffer = await this.context.createBuffer("params", Math.ceil(words.length / 4) * 16, usage);
    this.context.device.queue.writeBuffer(buffer, 0, words);
    this.#uniforms.set(key, buffer);
    return buffer;
  }
}

/** Encodes launches as a compute pass. */
export function encodeLaunches(
  encoder: GPUCommandEncoder,
  recorded: readonly RecordedLaunch[],
  descriptor?: GPUComputePassDescriptor,
): void {
  const pass = encoder.beginComputePass(descriptor);
  for (const { pipeline, bindGroup, workgroups } of recorded) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
}
