/** Brings results back from the GPU, through small mappable buffers that go round. */
import { CHOICE_RESULT_BYTES, MOST_LANES } from "../plan/token-choice.ts";
import { MAP, USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";
import { SPAN_BYTES, spanSeconds, Timestamps } from "./timestamps.ts";

/** Bytes of results that a step of a decode brings back at most; times lie behind them. */
export const RESULT_BYTES = CHOICE_RESULT_BYTES * MOST_LANES;

/** Small mappable buffers that take results to the CPU, one after another. */
export class ReadbackRing {
  readonly #slots: readonly RingSlot[];
  readonly #hasTimes: boolean;

  private constructor(slots: readonly RingSlot[], hasTimes: boolean) {
    this.#slots = slots;
    this.#hasTimes = hasTimes;
  }

  /**
   * Makes a ring.
   *
   * @param count number of slots: one more than results may be under way at once
   */
  static async create(context: GpuContext, count: number, withTimes: boolean): Promise<ReadbackRing> {
    const hasTimes = withTimes && context.features.timestamps;
    const slots: RingSlot[] = [];
    for (let i = 0; i < count; i++) {
      const usage = USAGE.MAP_READ | USAGE.COPY_DST;
      const buffer = await context.createBuffer("token on its way", RESULT_BYTES + SPAN_BYTES, usage);
      slots.push(new RingSlot(buffer, hasTimes ? await Timestamps.create(context, 1) : undefined));
    }
    return new ReadbackRing(slots, hasTimes);
  }

  get buffers(): GPUBuffer[] {
    return this.#slots.map(({ buffer }) => buffer);
  }

  slot(step: number): RingSlot {
    return this.#slots[step % this.#slots.length];
  }

  /** Seconds that a step's kernels took, by its result; 0 where nobody measured. */
  seconds(result: Uint32Array): number {
    return this.#hasTimes ? spanSeconds(result.buffer, RESULT_BYTES)[0] : 0;
  }
}

export class RingSlot {
  readonly buffer: GPUBuffer;
  readonly #times: Timestamps | undefined;

  constructor(buffer: GPUBuffer, times?: Timestamps) {
    this.buffer = buffer;
    this.#times = times;
  }

  get timestamps(): GPUComputePassDescriptor | undefined {
    return this.#times?.around(0);
  }

  resolveTimestamps(encoder: GPUCommandEncoder): void {
    this.#times?.resolve(encoder, this.buffer, RESULT_BYTES);
  }

  /** The words of the result, once the step is done. The slot is free again then. */
  async read(): Promise<Uint32Array> {
    await this.buffer.mapAsync(MAP.READ);
    const words = new Uint32Array(this.buffer.getMappedRange().slice(0));
    this.buffer.unmap();
    return words;
  }
}
