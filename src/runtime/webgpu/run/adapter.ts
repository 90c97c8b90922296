/** Finds GPU adapters and picks one. */
import { errorMessage, ModelComposeError } from "../../../base/errors.ts";
import { nearestName } from "../../../base/nearest-name.ts";
import { openGpu } from "../../platform/gpu.ts";
import { vulkanLoaderProblem } from "../../platform/vulkan.ts";

/** An adapter, for people and for choosing one. */
export interface AdapterSummary {
  /** Name as the driver gives it: "NVIDIA H200", "Apple M1 Max". */
  name: string;
  /** Name of the backend: "vulkan", "metal" or "d3d12". */
  backend: string;
  vendor: string;
  architecture: string;
  /** The driver and its version, where known. */
  description: string;
  /** Whether it computes on the CPU: correct, and slower than the WASM device. */
  isSoftware: boolean;
}

/** An adapter as Dawn's listing has it, before it is opened. */
export type ListedAdapter = Pick<AdapterSummary, "name" | "backend" | "isSoftware">;

export interface OpenAdapter {
  adapter: GPUAdapter;
  summary: AdapterSummary;
}

const USE_CPU = 'Use the device "wasm" (the CPU)';

/**
 * No adapter is called so. Dawn's Node binding has no call that lists adapters, but its error for an adapter that is
 * not there names all that are.
 */
const NO_SUCH_ADAPTER = "adapter=(list the adapters)";

/**
 * Every adapter of this machine, the best first (discrete GPUs, integrated ones, software).
 *
 * @param flags Dawn's flags, such as "backend=null"
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform
 */
export async function listAdapters(flags: readonly string[] = []): Promise<AdapterSummary[]> {
  const summaries: AdapterSummary[] = [];
  for (const listed of await listNames(flags)) {
    summaries.push((await openAdapter(listed, flags)).summary);
  }
  return summaries;
}

/**
 * Finds and opens an adapter.
 *
 * @param name part of an adapter's name, in any case; undefined: the best one that is hardware
 * @param flags Dawn's flags, such as "enable-dawn-features=allow_unsafe_apis"
 * @throws ModelComposeError "device" when there is none, "invalid-argument" when none has this name, "unsupported" when
 *   Dawn cannot be loaded on this platform
 */
export async function requestGpu(
  name: string | undefined,
  flags: readonly string[] = [],
): Promise<OpenAdapter> {
  return openAdapter(await findAdapter(name, flags), flags);
}

/** Finds an adapter as `requestGpu` does, without opening it. */
export async function findAdapter(
  name: string | undefined,
  flags: readonly string[] = [],
): Promise<ListedAdapter> {
  return pickAdapter(await listNames(flags), name);
}

/** The first of `adapters` that the request means; see `requestGpu`. */
export function pickAdapter(adapters: readonly ListedAdapter[], name: string | undefined): ListedAdapter {
  if (adapters.length === 0) {
    const missing = vulkanLoaderProblem();
    const install =
      missing === undefined
        ? "install the GPU's driver (on Linux one with Vulkan)"
        : "install the Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader) and the GPU's driver";
    throw new ModelComposeError("device", noAdapter(missing), { remedy: `${USE_CPU}, or ${install}.` });
  }
  if (name === undefined) {
    const hardware = adapters.find((adapter) => !adapter.isSoftware);
    if (hardware !== undefined) {
      return hardware;
    }
    throw new ModelComposeError(
      "device",
      `There is no hardware WebGPU adapter on this machine, only software: ${quoted(adapters)}.`,
      {
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

/**
 * Renderers in software: SwiftShader, Mesa's llvmpipe (lavapipe) and softpipe, Windows' WARP. Dawn's null backend, which
 * computes nothing, is never what a user means either.
 */
export function isSoftwareName(name: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|null backend/i.test(name);
}

async function listNames(flags: readonly string[]): Promise<ListedAdapter[]> {
  // Without the loader Dawn would warn on stderr, and find nothing.
  const needsVulkan = !flags.some((flag) => flag.startsWith("backend="));
  if (needsVulkan && vulkanLoaderProblem() !== undefined) {
    return [];
  }
  const gpu = await openGpu([...flags, NO_SUCH_ADAPTER]);
  try {
    // The request sorts the listing.
    await gpu.requestAdapter({ powerPreference: "high-performance" });
    return [];
  } catch (error) {
    return parseListing(errorMessage(error));
  }
}

/** Reads ` * backend: 'vulkan', name: 'NVIDIA H200'` lines; adapters that cannot be told apart count once. */
export function parseListing(message: string): ListedAdapter[] {
  const listed = new Map<string, ListedAdapter>();
  for (const [line, backend = "", name = ""] of message.matchAll(/^ \* backend: '(.*?)', name: '(.*)'$/gm)) {
    listed.set(line, { name, backend, isSoftware: isSoftwareName(name) });
  }
  if (listed.size > 0) {
    return [...listed.values()];
  }
  throw new ModelComposeError("device", `Dawn cannot list the GPU adapters: ${message}.`, {
    remedy: `${USE_CPU}.`,
  });
}

/** Opens an adapter of the listing; see `requestGpu`. */
export async function openAdapter(
  { name, backend, isSoftware }: ListedAdapter,
  flags: readonly string[],
): Promise<OpenAdapter> {
  const gpu = await openGpu([
    ...flags.filter((flag) => !flag.startsWith("backend=")),
    `backend=${backend}`,
    `adapter=${name}`,
  ]);
  const adapter = await gpu
    .requestAdapter({ powerPreference: "high-performance" })
    .catch((error: unknown) => {
      throw new ModelComposeError(
        "device",
        `The GPU ${name} (${backend}) cannot be opened: ${errorMessage(error)}.`,
        { remedy: `${USE_CPU}, or check the GPU's driver.`, cause: error },
      );
    });
  if (adapter === null) {
    throw new ModelComposeError("device", `The GPU ${name} (${backend}) was listed, but cannot be opened.`, {
      remedy: `${USE_CPU}, or check the GPU's driver.`,
    });
  }
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  return {
    adapter,
    summary: {
      name,
      backend,
      vendor,
      architecture,
      description,
      isSoftware: isSoftware || isFallbackAdapter,
    },
  };
}

/** A listing for people, one line for each adapter: its name, backend and driver. */
export function listingText(adapters: readonly AdapterSummary[]): string {
  if (adapters.length === 0) {
    return noAdapter(vulkanLoaderProblem());
  }
  return adapters
    .map(({ name, backend, description, isSoftware }) => {
      const notes = [backend, description, isSoftware ? "software, for tests" : ""].filter(Boolean);
      return `${name} (${notes.join("; ")})`;
    })
    .join("\n");
}

function noAdapter(vulkanProblem: string | undefined): string {
  const why = vulkanProblem === undefined ? "" : `: the Vulkan loader cannot be opened (${vulkanProblem})`;
  return `There is no WebGPU adapter on this machine${why}.`;
}

function quoted(adapters: readonly ListedAdapter[]): string {
  return adapters.map(({ name, backend }) => `"${name}" (${backend})`).join(", ");
}

/** A word of the first adapter's name that suffices to ask for it. */
function shortName([first]: readonly ListedAdapter[]): string {
  return (first?.name ?? "").split(/[ (]/)[0]?.toLowerCase() ?? "";
}
