/** KV caches of the GPU as tests write and read them. */
import type { CacheFormat } from "../../src/kernels/append/append.gpu.ts";
import type { GpuLab, LabBuffer } from "./gpu-lab.ts";
import { halfValue, halfWords } from "./numbers.ts";

/** A cache as the kernels of its format read it. */
export function cacheBuffer(lab: GpuLab, numbers: Float32Array, format: CacheFormat): LabBuffer {
  return lab.buffer(format === "f16" ? halfWords(numbers) : numbers);
}

/** The numbers of a cache of "f16". */
export async function readHalves(lab: GpuLab, buffer: LabBuffer, length: number): Promise<Float32Array> {
  const words = new Uint16Array((await lab.readWords(buffer)).buffer);
  return Float32Array.from(words.subarray(0, length), halfValue);
}
