/**
 * How fast a device reads the weights of a loaded model, by pure reads that compute nothing with them: no decode of one
 * sequence can be faster than its weights are read.
 */
import { ModelComposeError } from "../base/errors.ts";
import type { Executable } from "./backend.ts";
import { WasmExecutable } from "./wasm/executable.ts";
import type { MeasureCommand } from "./wasm/protocol.ts";
import { WebGpuExecutable } from "./webgpu/run/executable.ts";
import { ReadProbe } from "./webgpu/run/measure.ts";

export { bestKernelBuild } from "./wasm/kernel-builds.ts";

/** The loops by which the CPU's workers read. */
const READ_LOOPS = ["read", "read4", "read-wide"] as const;

/**
 * How long one sample of the CPU's workers takes at least: they read small models, which take under a millisecond,
 * again.
 */
const SAMPLING_MILLISECONDS = 100;

/** What a GPU's reads need is made once for an executable. */
const probes = new WeakMap<WebGpuExecutable, Promise<ReadProbe>>();

/**
 * One sample of pure reads over a loaded model's weights: all of them on the CPU, the largest ones on a GPU, enough to be
 * far larger than any cache. Nothing else may run on the executable meanwhile.
 *
 * @returns bytes a second, by how they were read: the loop of the CPU's workers, or the GPU's number of workgroups. The
 *   highest is what the device can do.
 * @throws ModelComposeError "unsupported" for a device that has no such reads; "device" when a GPU's reads give other
 *   bytes than the CPU has seen, or the device fails; "out-of-memory"; "disposed"
 */
export async function measureRead(executable: Executable): Promise<ReadonlyMap<string, number>> {
  if (executable instanceof WasmExecutable) {
    const rates = new Map<string, number>();
    for (const loop of READ_LOOPS) {
      const sorted = (await workerRates(executable, loop)).sort((a, b) => a - b);
      rates.set(loop, sorted[sorted.length >> 1]);
    }
    return rates;
  }
  if (executable instanceof WebGpuExecutable) {
    const probe = probes.get(executable) ?? ReadProbe.create(executable);
    probes.set(executable, probe);
    return (await probe).sample();
  }
  throw new ModelComposeError(
    "unsupported",
    `The device ${executable.device.description} has no measurement of its reads; expected the CPU or a GPU.`,
    { remedy: "Load the model on the device wasm or webgpu." },
  );
}

/**
 * What the CPU's workers do a second, all together: bytes that they read, or multiply-adds in registers ("fma": two
 * operations each). One sample, or as many as fit into a tenth of a second.
 */
export async function workerRates(
  executable: WasmExecutable,
  what: MeasureCommand["what"],
): Promise<number[]> {
  const rates: number[] = [];
  const end = performance.now() + SAMPLING_MILLISECONDS;
  do {
    rates.push(combinedRate(await executable.measure(what)));
  } while (performance.now() < end);
  return rates;
}

/** Bytes (or operations) a second of all workers together: they are done when the slowest is. */
export function combinedRate(workers: readonly { amount: number; seconds: number }[]): number {
  const amount = workers.reduce((sum, worker) => sum + worker.amount, 0);
  return amount / Math.max(...workers.map(({ seconds }) => seconds));
}
