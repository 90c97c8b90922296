/** How results come back from the GPU: through small mappable buffers that go round. */
import { MAP, USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";

/** What a step of a decode brings back: token, status, position, a word for errors. */
export const RESULT_BYTES = 16;
const TIMESTAMP_BYTES = 16;

/** Small mappable buffers that take results to the CPU, one after another. */
export class ReadbackRing {
  readonly #slots: RingSlot[];
  readonly #hasTimes: boolean;

  private constructor(slots: RingSlot[], hasTimes: boolean) {
    this.#slots = slots;
    this.#hasTimes = hasTimes;
  }

  /** @param count results that may be under way at once, and one more */
  static async create(context: GpuContext, count: number, withTimes: boolean): Promise<ReadbackRing> {
    const hasTimes = withTimes && context.features.timestamps;
    const slots: RingSlot[] = [];
    for (let i = 0; i < count; i++) {
      const usage = USAGE.MAP_READ | USAGE.COPY_DST;
      const buffer = await context.createBuffer("token on its way", RESULT_BYTES + TIMESTAMP_BYTES, usage);
      if (!hasTimes) {
        slots.push(new RingSlot(buffer));
        continue;
      }
      const times = context.device.createQuerySet({ type: "timestamp", count: 2 });
      const resolved = await context.createBuffer(
        "times",
        TIMESTAMP_BYTES,
        USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
      );
      slots.push(new RingSlot(buffer, { times, resolved }));
    }
    return new ReadbackRing(slots, hasTimes);
  }

  get buffers(): GPUBuffer[] {
    return this.#slots.map(({ buffer }) => buffer);
  }

  slot(step: number): RingSlot {
    return this.#slots[step % this.#slots.length];
  }

  /** How long a step's kernels took, by its result; 0 where nobody measured. */
  seconds(result: Uint32Array): number {
    if (!this.#hasTimes) {
      return 0;
    }
    const [begin, end] = new BigUint64Array(result.buffer, RESULT_BYTES, 2);
    return Number(end - begin) / 1e9;
  }
}

export class RingSlot {
  readonly buffer: GPUBuffer;
  readonly #queries: { times: GPUQuerySet; resolved: GPUBuffer } | undefined;

  constructor(buffer: GPUBuffer, queries?: { times: GPUQuerySet; resolved: GPUBuffer }) {
    this.buffer = buffer;
    this.#queries = queries;
  }

  get timestamps(): GPUComputePassDescriptor | undefined {
    if (this.#queries === undefined) {
      return undefined;
    }
    const { times } = this.#queries;
    return { timestampWrites: { querySet: times, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } };
  }

  resolveTimestamps(encoder: GPUCommandEncoder): void {
    if (this.#queries === undefined) {
      return;
    }
    const { times, resolved } = this.#queries;
    encoder.resolveQuerySet(times, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, this.buffer, RESULT_BYTES, TIMESTAMP_BYTES);
  }

  /** The words of the result, once the step is done. The slot is free again then. */
  async read(): Promise<Uint32Array> {
    await this.buffer.mapAsync(MAP.READ);
    const words = new Uint32Array(this.buffer.getMappedRange().slice(0));
    this.buffer.unmap();
    return words;
  }
}
