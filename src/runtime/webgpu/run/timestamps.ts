/** Takes the times of compute passes by the GPU's own clock. */
import { ModelComposeError } from "../../../base/errors.ts";

import { MAP, USAGE } from "./constants.ts";
import type { GpuFeatures } from "../plan/gpu.ts";
import type { AdapterSummary } from "./adapter-summary.ts";
import type { GpuContext } from "./device.ts";

/** A query set holds 4096 timestamps (WebGPU, maximum query count). */
export const MOST_SPANS = 2048;

/** Bytes of the two timestamps of a span. */
export const SPAN_BYTES = 16;

/** Two timestamps around each of several compute passes. */
export class Timestamps {
  readonly #context: GpuContext;
  readonly #spans: number;
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;

  private constructor(context: GpuContext, spans: number, querySet: GPUQuerySet, resolved: GPUBuffer) {
    this.#context = context;
    this.#spans = spans;
    this.#querySet = querySet;
    this.#resolved = resolved;
  }

  /**
   * Makes the timestamps of several compute passes.
   *
   * @param spans number of compute passes to be timed, at most MOST_SPANS
   * @throws ModelComposeError "unsupported" when the adapter has no timestamps
   */
  static async create(context: GpuContext, spans: number): Promise<Timestamps> {
    requireTimestamps(context);
    const usage = USAGE.QUERY_RESOLVE | USAGE.COPY_SRC;
    const resolved = await context.createBuffer("times", SPAN_BYTES * spans, usage);
    const querySet = context.device.createQuerySet({ type: "timestamp", count: 2 * spans });
    return new Timestamps(context, spans, querySet, resolved);
  }

  /** The descriptor of a compute pass that is to be timed as `span`. */
  around(span: number): GPUComputePassDescriptor {
    return {
      timestampWrites: {
        querySet: this.#querySet,
        beginningOfPassWriteIndex: 2 * span,
        endOfPassWriteIndex: 2 * span + 1,
      },
    };
  }

  /**
   * Records the last command of an encoder: it writes the times of all spans to byte `at` of a buffer, for
   * `spanSeconds`.
   */
  resolve(encoder: GPUCommandEncoder, target: GPUBuffer, at = 0): void {
    encoder.resolveQuerySet(this.#querySet, 0, 2 * this.#spans, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, target, at, SPAN_BYTES * this.#spans);
  }

  release(): void {
    this.#querySet.destroy();
    this.#context.releaseBuffer(this.#resolved);
  }
}

/** Seconds of every span, from what `resolve` wrote. */
export function spanSeconds(bytes: ArrayBufferLike, at = 0): Float64Array {
  const times = new BigUint64Array(bytes, at);
  return Float64Array.from(
    { length: times.length / 2 },
    (_, i) => Number(times[2 * i + 1] - times[2 * i]) / 1e9,
  );
}

/** Timestamps with a buffer of their own that brings them to the CPU. */
export class SpanTimer {
  readonly #context: GpuContext;
  readonly #timestamps: Timestamps;
  readonly #staging: GPUBuffer;

  private constructor(context: GpuContext, timestamps: Timestamps, staging: GPUBuffer) {
    this.#context = context;
    this.#timestamps = timestamps;
    this.#staging = staging;
  }

  /** Makes a timer; arguments and errors are those of `Timestamps.create`. */
  static async create(context: GpuContext, spans: number): Promise<SpanTimer> {
    const timestamps = await Timestamps.create(context, spans);
    const usage = USAGE.MAP_READ | USAGE.COPY_DST;
    const staging = await context.createBuffer("times on their way", SPAN_BYTES * spans, usage);
    return new SpanTimer(context, timestamps, staging);
  }

  /** The descriptor of a compute pass that is to be timed as `span`. */
  around(span: number): GPUComputePassDescriptor {
    return this.#timestamps.around(span);
  }

  /** Records the last command of an encoder: it brings the times to the CPU. */
  resolve(encoder: GPUCommandEncoder): void {
    this.#timestamps.resolve(encoder, this.#staging);
  }

  /** Seconds of every span, once the commands are submitted. */
  async read(): Promise<Float64Array> {
    await this.#staging.mapAsync(MAP.READ);
    const seconds = spanSeconds(this.#staging.getMappedRange());
    this.#staging.unmap();
    return seconds;
  }

  release(): void {
    this.#timestamps.release();
    this.#context.releaseBuffer(this.#staging);
  }
}

/**
 * Checks that times can be taken.
 *
 * @throws ModelComposeError "unsupported" when the adapter has no timestamps
 */
export function requireTimestamps(gpu: {
  features: Pick<GpuFeatures, "timestamps">;
  summary: Pick<AdapterSummary, "name">;
}): void {
  if (gpu.features.timestamps) {
    return;
  }
  throw new ModelComposeError(
    "unsupported",
    `The GPU ${gpu.summary.name} has no timestamps to profile with.`,
    {
      remedy: "Do without the profile, or measure on another GPU.",
    },
  );
}
