/** Asks Dawn, in this process, which adapters there are, and opens them. Drivers write to stderr meanwhile. */
import { errorMessage, ModelComposeError } from "../../../base/errors.ts";
import { openGpu } from "../../platform/gpu.ts";
import { isSoftwareName, USE_CPU, type AdapterSummary, type ListedAdapter } from "./adapter-summary.ts";

export interface OpenAdapter {
  adapter: GPUAdapter;
  summary: AdapterSummary;
}

/**
 * No adapter is called so. Dawn's Node binding has no call that lists adapters, but its error for an adapter that is
 * not there names all that are.
 */
const NO_SUCH_ADAPTER = "adapter=(list the adapters)";

/**
 * Every adapter that Dawn finds, the best first (discrete GPUs, integrated ones, software).
 *
 * @param flags Dawn's flags, such as "backend=null"
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform, "device" when it cannot list
 */
export async function enumerateAdapters(flags: readonly string[]): Promise<AdapterSummary[]> {
  const summaries: AdapterSummary[] = [];
  for (const listed of await listNames(flags)) {
    summaries.push((await openAdapter(listed, flags)).summary);
  }
  return summaries;
}

async function listNames(flags: readonly string[]): Promise<ListedAdapter[]> {
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

/** Opens an adapter of the listing; see `findAdapter`. */
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
