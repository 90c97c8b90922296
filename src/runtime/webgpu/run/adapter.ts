/** Finds GPU adapters and picks one. */
import { ModelComposeError } from "../../../base/errors.ts";
import { nearestName } from "../../../base/nearest-name.ts";
import { vulkanLoaderProblem } from "../../platform/vulkan.ts";
import {
  noAdapter,
  NoGpuError,
  quoted,
  USE_CPU,
  type AdapterSummary,
  type ListedAdapter,
} from "./adapter-summary.ts";
import { enumerateAdapters } from "./enumerate.ts";
import { probeAdapters, type Probe } from "./probe.ts";

export interface FindOptions {
  /** Dawn's flags, such as "enable-dawn-features=allow_unsafe_apis". */
  readonly flags?: readonly string[];
  /**
   * Whether what an earlier process found is believed where it found nothing that fits. Default false: somebody who asks for a GPU by
   * name has perhaps just installed its driver.
   */
  readonly trustsCache?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Every adapter of this machine, the best first (discrete GPUs, integrated ones, software).
 *
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform, "device" when it or a driver fails
 */
export async function listAdapters(options: FindOptions = {}): Promise<AdapterSummary[]> {
  return [...(await probe(options)).adapters];
}

/**
 * Finds an adapter, without opening it.
 *
 * @param name part of an adapter's name, in any case; undefined: the best one that is hardware
 * @throws ModelComposeError "device" (NoGpuError) when there is none, "invalid-argument" when none has this name,
 *   "unsupported" when Dawn cannot be loaded on this platform
 */
export async function findAdapter(
  name: string | undefined,
  options: FindOptions = {},
): Promise<ListedAdapter> {
  const known = await probe(options, true);
  try {
    return pickAdapter(known.adapters, name, known.driverOutput);
  } catch (error) {
    if (!known.isCached || options.trustsCache) {
      throw error;
    }
    const fresh = await probe(options);
    return pickAdapter(fresh.adapters, name, fresh.driverOutput);
  }
}

async function probe({ flags = [], signal }: FindOptions, mayBeCached = false): Promise<Probe> {
  // A backend that is asked for by name is a benchmark's or a test's: its drivers may write what they like.
  if (flags.some((flag) => flag.startsWith("backend="))) {
    return { adapters: await enumerateAdapters(flags), driverOutput: "", isCached: false };
  }
  // Without the loader Dawn would warn, and find nothing.
  if (vulkanLoaderProblem() !== undefined) {
    return { adapters: [], driverOutput: "", isCached: false };
  }
  return probeAdapters({ mayBeCached, signal });
}

/** The first of `adapters` that the request means; see `findAdapter`. */
export function pickAdapter(
  adapters: readonly ListedAdapter[],
  name: string | undefined,
  driverOutput = "",
): ListedAdapter {
  if (adapters.length === 0) {
    const missing = vulkanLoaderProblem();
    const install =
      missing === undefined
        ? "install the GPU's driver (on Linux one with Vulkan)"
        : "install the Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader) and the GPU's driver";
    throw new NoGpuError("device", noAdapter(missing), {
      remedy: `${USE_CPU}, or ${install}.`,
      driverOutput,
    });
  }
  if (name === undefined) {
    const hardware = adapters.find((adapter) => !adapter.isSoftware);
    if (hardware !== undefined) {
      return hardware;
    }
    throw new NoGpuError(
      "device",
      `There is no hardware WebGPU adapter on this machine, only software: ${quoted(adapters)}.`,
      {
        driverOutput,
        remedy: `${USE_CPU}, install the GPU's driver, or ask for the software adapter by name, for tests ("webgpu:${shortName(adapters)}").`,
      },
    );
  }
  const wanted = name.toLowerCase();
  const found = adapters.find((adapter) => adapter.name.toLowerCase().includes(wanted));
  if (found !== undefined) {
    return found;
  }
  const words = adapters.flatMap((adapter) => adapter.name.toLowerCase().split(/[^a-z0-9]+/));
  const nearest = nearestName(wanted, words.filter(Boolean));
  throw new ModelComposeError(
    "invalid-argument",
    `No WebGPU adapter has "${name}" in its name; this machine has ${quoted(adapters)}.`,
    {
      remedy: nearest === undefined ? "Name part of one, in any case." : `Did you mean "webgpu:${nearest}"?`,
      parameter: "device",
    },
  );
}

/** A word of the first adapter's name that suffices to ask for it. */
function shortName([first]: readonly ListedAdapter[]): string {
  return (first?.name ?? "").split(/[ (]/)[0]?.toLowerCase() ?? "";
}
