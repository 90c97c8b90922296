import { formatBytes } from "../base/bytes.ts";
import type { DeviceInfo, PrefillMode } from "./device-types.ts";
import type { MemoryNeed } from "./memory-check.ts";

/** How a model will be on a GPU, for the notices. */
export interface GpuUse {
  readonly device: Pick<DeviceInfo, "description" | "adapter">;
  /** The sentence that names the model and its weights, with a space behind it. Default: none. */
  readonly model?: string;
  /** Whether the adapter computes on the CPU. */
  readonly isSoftware: boolean;
  /** Why it is this device; the words stand behind its description. */
  readonly why?: string;
  readonly need: MemoryNeed;
  /** Capacity of the KV cache in tokens. */
  readonly contextLength: number;
  readonly prefill: PrefillMode;
}

/** What a person should know before a model is loaded on a GPU, a line each; warnings first. */
export function gpuNotices({
  device,
  model,
  isSoftware,
  why = "",
  need,
  contextLength,
  prefill,
}: GpuUse): string[] {
  const notices: string[] = [];
  if (isSoftware) {
    notices.push(
      `WARNING: ${device.adapter ?? device.description} is no GPU but a program on the CPU, for tests: results are ` +
        'right, and come many times slower than from the device "wasm".',
    );
  }
  notices.push(
    `${model}Device: ${device.description}${why}; context: ${contextLength} tokens; GPU memory: ` +
      `${formatBytes(need.weightBytes)} of weights, ${formatBytes(need.kvCacheBytes)} of KV cache, ` +
      `${formatBytes(need.workBytes)} of work.`,
  );
  if (prefill === "split") {
    notices.push('Prompts are read with "split" arithmetic, which has 22 of the 24 bits of the exact one.');
  } else if (prefill !== "exact") {
    notices.push(`Prompts are read with "${prefill}" arithmetic, which is not exact.`);
  }
  return notices;
}
