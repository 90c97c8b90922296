/** A GPU on which single kernels run: their buffers, their results and their times. */
import { kernelKey, type KernelSpec } from "../../src/kernels/wgsl/kernel.ts";
import { MAP, USAGE } from "../../src/runtime/webgpu/run/constants.ts";
import type { GpuContext } from "../../src/runtime/webgpu/run/device.ts";
import { Pipelines } from "../../src/runtime/webgpu/run/pipelines.ts";
import { SpanTimer } from "../../src/runtime/webgpu/run/timestamps.ts";

/** A launch of a kernel. */
export interface Launch {
  spec: KernelSpec;
  /** Buffers, or parts of them, without the params. */
  buffers: readonly (GPUBuffer | GPUBufferBinding)[];
  params?: Uint32Array;
  workgroups: readonly [number, number, number];
}

const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;
/** Times of which the shortest counts. */
const REPEATS = 4;

/** How long an idle GPU works before its times count. */
const WARM_MILLISECONDS = 700;

interface Recorded {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: Launch["workgroups"];
}

export class SweepLab {
  readonly context: GpuContext;
  readonly #pipelines: Pipelines;
  readonly #uniforms = new Map<string, GPUBuffer>();
  readonly #timer: SpanTimer | undefined;

  private constructor(context: GpuContext, timer: SpanTimer | undefined) {
    this.context = context;
    this.#pipelines = new Pipelines(context);
    this.#timer = timer;
  }

  /** @param isTimed whether kernels are timed; then the adapter must have timestamps */
  static async create(context: GpuContext, isTimed: boolean): Promise<SweepLab> {
    return new SweepLab(context, isTimed ? await SpanTimer.create(context, REPEATS) : undefined);
  }

  get isTimed(): boolean {
    return this.#timer !== undefined;
  }

  async buffer(
    label: string,
    content: number | Float32Array | Uint32Array | Uint16Array,
  ): Promise<GPUBuffer> {
    const bytes = typeof content === "number" ? content : Math.ceil(content.byteLength / 4) * 4;
    const buffer = await this.context.createBuffer(label, bytes, STORAGE);
    if (typeof content !== "number") {
      this.context.device.queue.writeBuffer(buffer, 0, content);
    }
    return buffer;
  }

  release(...buffers: readonly GPUBuffer[]): void {
    for (const buffer of buffers) {
      this.context.releaseBuffer(buffer);
    }
  }

  /** A buffer of `bytes` that repeats a block of random bf16 numbers. */
  async repeated(label: string, block: Uint16Array, bytes: number): Promise<GPUBuffer> {
    const buffer = await this.buffer(label, bytes);
    const { queue } = this.context.device;
    for (let at = 0; at < bytes; at += block.byteLength) {
      const part = block.subarray(0, Math.min(block.length, (bytes - at) / 2));
      queue.writeBuffer(buffer, at, part);
    }
    return buffer;
  }

  /** Compiles kernels at once: Dawn's threads share them. What does not compile says so when it runs. */
  async compile(specs: readonly KernelSpec[]): Promise<void> {
    const different = new Map(specs.map((spec) => [kernelKey(spec), spec]));
    await Promise.allSettled([...different.values()].map((spec) => this.#pipelines.get(spec)));
  }

  async run(launches: readonly Launch[]): Promise<void> {
    const recorded = await this.#record(launches);
    const { device } = this.context;
    const encoder = device.createCommandEncoder();
    encodePass(encoder, recorded);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    this.context.checkAlive();
  }

  /** Runs launches until the GPU's clock has risen: an idle one computes at a third of its speed. */
  async warm(launches: readonly Launch[]): Promise<void> {
    const until = performance.now() + (this.isTimed ? WARM_MILLISECONDS : 0);
    while (performance.now() < until) {
      await this.run(launches);
    }
  }

  /** Seconds that launches take one behind the other, by the GPU's clock; the least of some repetitions. */
  async time(launches: readonly Launch[]): Promise<number> {
    const timer = this.#timer;
    if (timer === undefined) {
      throw new Error("This laboratory takes no times.");
    }
    const recorded = await this.#record(launches);
    const { device } = this.context;
    const encoder = device.createCommandEncoder();
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      encodePass(encoder, recorded, timer.around(repeat));
    }
    timer.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    const seconds = await timer.read();
    this.context.checkAlive();
    return Math.min(...seconds);
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

  #record(launches: readonly Launch[]): Promise<Recorded[]> {
    return Promise.all(
      launches.map(async ({ spec, buffers, params, workgroups }) => {
        const pipeline = await this.#pipelines.get(spec);
        const resources: GPUBufferBinding[] = buffers.map((buffer) =>
          "buffer" in buffer ? buffer : { buffer },
        );
        if (params !== undefined) {
          resources.push({ buffer: await this.#uniform(params) });
        }
        const bindGroup = this.context.device.createBindGroup({
          layout: this.#pipelines.layout(spec.bindings),
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

function encodePass(
  encoder: GPUCommandEncoder,
  recorded: readonly Recorded[],
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
