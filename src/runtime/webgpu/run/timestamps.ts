/** Times of compute passes by the GPU's own clock. */
import { ModelComposeError } from "../../../base/errors.ts";

import { MAP, USAGE } from "./constants.ts";
import type { GpuFeatures } from "../plan/gpu.ts";
import type { AdapterSummary } from "./adapter.ts";
import type { GpuContext } from "./device.ts";

/** A query set holds 4096 timestamps (WebGPU, maximum query count). */
export const MOST_SPANS = 2048;

export class Timestamps {
  readonly #context: GpuContext;
  readonly #spans: number;
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;

  private constructor(
    context: GpuContext,
    spans: number,
    querySet: GPUQuerySet,
    resolved: GPUBuffer,
    staging: GPUBuffer,
  ) {
    this.#context = context;
    this.#spans = spans;
    this.#querySet = querySet;
    this.#resolved = resolved;
    this.#staging = staging;
  }

  /**
   * @param spans compute passes to be timed, at most MOST_SPANS
   * @throws ModelComposeError "unsupported" when the adapter has no timestamps
   */
  static async create(context: GpuContext, spans: number): Promise<Timestamps> {
    requireTimestamps(context);
    const bytes = 16 * spans;
    const resolved = await context.createBuffer("times", bytes, USAGE.QUERY_RESOLVE | USAGE.COPY_SRC);
    const staging = await context.createBuffer("times on their way", bytes, USAGE.MAP_READ | USAGE.COPY_DST);
    const querySet = context.device.createQuerySet({ type: "timestamp", count: 2 * spans });
    return new Timestamps(context, spans, querySet, resolved, staging);
  }

  /** Of a compute pass that is to be timed as `span`. */
  around(span: number): GPUComputePassDescriptor {
    return {
      timestampWrites: {
        querySet: this.#querySet,
        beginningOfPassWriteIndex: 2 * span,
        endOfPassWriteIndex: 2 * span + 1,
      },
    };
  }

  /** The last command of an encoder. */
  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#querySet, 0, 2 * this.#spans, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16 * this.#spans);
  }

  /** Seconds of every span, once the commands are submitted. */
  async read(): Promise<Float64Array> {
    await this.#staging.mapAsync(MAP.READ);
    const times = new BigUint64Array(this.#staging.getMappedRange().slice(0));
    this.#staging.unmap();
    return Float64Array.from(
      { length: this.#spans },
      (_, i) => Number(times[2 * i + 1] - times[2 * i]) / 1e9,
    );
  }

  release(): void {
    this.#querySet.destroy();
    this.#context.releaseBuffer(this.#resolved);
    this.#context.releaseBuffer(this.#staging);
  }
}

/** @throws ModelComposeError "unsupported" when the adapter has no timestamps */
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
