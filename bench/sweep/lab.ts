/** A GPU on which single kernels run and are timed. */
import { kernelKey, type KernelSpec } from "../../src/kernels/wgsl/kernel.ts";
import type { GpuContext } from "../../src/runtime/webgpu/run/device.ts";
import { encodeLaunches, KernelRunner, type Launch } from "../../src/runtime/webgpu/run/kernel-runner.ts";
import { SpanTimer } from "../../src/runtime/webgpu/run/timestamps.ts";

/** Times of which the shortest counts. */
const REPEATS = 4;
/** How long an idle GPU works before its times count: until then it computes at a third of its speed. */
const WARM_MILLISECONDS = 700;

/** How long launches run right before their times are taken, and how often at most. */
const BEFORE_SECONDS = 0.02;
const MOST_BEFORE = 200;

export class SweepLab extends KernelRunner {
  readonly #timer: SpanTimer | undefined;

  private constructor(context: GpuContext, timer: SpanTimer | undefined) {
    super(context);
    this.#timer = timer;
  }

  /** @param isTimed whether kernels are timed; then the adapter must have timestamps */
  static async create(context: GpuContext, isTimed: boolean): Promise<SweepLab> {
    return new SweepLab(context, isTimed ? await SpanTimer.create(context, REPEATS) : undefined);
  }

  get isTimed(): boolean {
    return this.#timer !== undefined;
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
    await Promise.allSettled([...different.values()].map((spec) => this.pipelines.get(spec)));
  }

  /** Runs launches until the GPU's clock has risen. */
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
    const recorded = await this.record(launches);
    const { device } = this.context;
    // The GPU's clock falls while the host looks at results: it works until a moment before the first time.
    const once = device.createCommandEncoder();
    encodeLaunches(once, recorded, timer.around(0));
    timer.resolve(once);
    device.queue.submit([once.finish()]);
    const [first] = await timer.read();
    const before = device.createCommandEncoder();
    for (let i = 0; i < Math.min(MOST_BEFORE, BEFORE_SECONDS / first); i++) {
      encodeLaunches(before, recorded);
    }
    device.queue.submit([before.finish()]);
    const encoder = device.createCommandEncoder();
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      encodeLaunches(encoder, recorded, timer.around(repeat));
    }
    timer.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    const seconds = await timer.read();
    this.context.checkAlive();
    return Math.min(...seconds);
  }
}
