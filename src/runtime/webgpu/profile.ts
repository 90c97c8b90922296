/** Where the time of a pass goes: every dispatch in a compute pass of its own, between two timestamps. */
import { ModelComposeError } from "../errors.ts";
import { MAP, USAGE } from "./constants.ts";
import type { PassShape } from "./dispatch.ts";
import { encode, type Recorded, type Resources } from "./resources.ts";

/** All dispatches of one kernel in a pass. */
export interface KernelTime {
  name: string;
  dispatches: number;
  seconds: number;
  /** Bytes that the kernel must move at least. */
  bytes: number;
}

/**
 * Runs the dispatches one after another and times each; slower than together, for none overlaps the next. The most
 * expensive kernel comes first.
 *
 * @throws ModelComposeError "unsupported" when the adapter has no timestamps
 */
export async function profileDispatches(
  resources: Resources,
  dispatches: readonly Recorded[],
  shape: PassShape,
): Promise<KernelTime[]> {
  const { context } = resources;
  if (!context.features.timestamps) {
    throw new ModelComposeError(
      "unsupported",
      `The GPU ${context.summary.name} has no timestamps to profile with.`,
    );
  }
  const count = 2 * dispatches.length;
  const querySet = context.device.createQuerySet({ type: "timestamp", count });
  const resolved = await context.createBuffer("times", count * 8, USAGE.QUERY_RESOLVE | USAGE.COPY_SRC);
  const staging = await context.createBuffer(
    "times on their way",
    count * 8,
    USAGE.MAP_READ | USAGE.COPY_DST,
  );
  try {
    const encoder = context.device.createCommandEncoder();
    for (const [i, recorded] of dispatches.entries()) {
      const compute = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      encode(compute, [recorded], shape);
      compute.end();
    }
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, count * 8);
    context.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ);
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    const kernels = new Map<string, KernelTime>();
    for (const [i, { dispatch }] of dispatches.entries()) {
      const { name } = dispatch.spec;
      const kernel = kernels.get(name) ?? { name, dispatches: 0, seconds: 0, bytes: 0 };
      kernel.dispatches++;
      kernel.seconds += Number(times[2 * i + 1] - times[2 * i]) / 1e9;
      kernel.bytes += dispatch.bytes(shape);
      kernels.set(name, kernel);
    }
    return [...kernels.values()].sort((a, b) => b.seconds - a.seconds);
  } finally {
    querySet.destroy();
    context.releaseBuffer(resolved);
    context.releaseBuffer(staging);
  }
}
