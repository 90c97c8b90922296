/**
 * Asks for the adapters in a process of its own: drivers write to stderr as they like, and some crash or hang when they are
 * asked. The answer is kept until the machine starts anew or its drivers change.
 */
import { isJsonObject } from "../../../base/json.ts";
import { readCached, writeCached } from "../../platform/cache-directory.ts";
import { runModule } from "../../platform/child-process.ts";
import { graphicsState } from "../../platform/graphics-state.ts";
import { workerUrl } from "../../platform/workers.ts";
import { NoGpuError, USE_CPU, type AdapterSummary } from "./adapter-summary.ts";

export interface Probe {
  /** The best first. */
  readonly adapters: readonly AdapterSummary[];
  /** What Dawn and drivers wrote to stderr meanwhile. */
  readonly driverOutput: string;
  /** Whether an earlier process asked. */
  readonly isCached: boolean;
}

const CACHE_FILE = "gpu-adapters.json";
/** A driver that has not answered by then hangs. The slowest that was seen took three seconds, on a cold machine. */
const PATIENCE_MILLISECONDS = 30_000;

/**
 * @param options `mayBeCached`: an earlier answer will do, while nothing has changed that it depends on
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform, "device" when the process fails;
 *   AbortError
 */
export async function probeAdapters(options: {
  readonly mayBeCached: boolean;
  readonly signal?: AbortSignal | undefined;
}): Promise<Probe> {
  const state = graphicsState();
  const cached = options.mayBeCached ? await cachedProbe(state) : undefined;
  if (cached !== undefined) {
    return cached;
  }
  const url = workerUrl(import.meta.url, { source: "./probe-process.ts", bundled: "gpu-probe.js" });
  const { stdout, stderr, failure } = await runModule(url, [], {
    milliseconds: PATIENCE_MILLISECONDS,
    signal: options.signal,
  });
  const adapters = readAnswer(
    stdout,
    `${failure ?? "no answer"}${stderr === "" ? "" : `; ${stderr.trim()}`}`,
  );
  const found = { adapters, driverOutput: stderr.trim() };
  await writeCached(CACHE_FILE, JSON.stringify({ state, ...found }));
  return { ...found, isCached: false };
}

async function cachedProbe(state: string): Promise<Probe | undefined> {
  const text = await readCached(CACHE_FILE);
  const value = text === undefined ? undefined : parsed(text);
  if (!isJsonObject(value) || value["state"] !== state || typeof value["driverOutput"] !== "string") {
    return undefined;
  }
  const { adapters, driverOutput } = value;
  return isAdapters(adapters) ? { adapters, driverOutput, isCached: true } : undefined;
}

/**
 * Reads the last line of what the process wrote.
 *
 * @param otherwise why there may be none
 * @throws the error that the process answered with
 */
function readAnswer(stdout: string, otherwise: string): readonly AdapterSummary[] {
  const value = parsed(stdout.trimEnd().split("\n").at(-1) ?? "");
  const { adapters, error } = isJsonObject(value) ? value : {};
  if (isAdapters(adapters)) {
    return adapters;
  }
  if (isJsonObject(error) && typeof error["message"] === "string") {
    const { message, code, remedy } = error;
    const isWhole = typeof remedy === "string" && message.endsWith(` ${remedy}`);
    throw new NoGpuError(
      code === "unsupported" ? "unsupported" : "device",
      isWhole ? message.slice(0, -remedy.length - 1) : message,
      isWhole ? { remedy } : {},
    );
  }
  throw new NoGpuError("device", `The GPU's driver fails when it is asked for its adapters: ${otherwise}.`, {
    remedy: `${USE_CPU}, or check the GPU's driver.`,
  });
}

/** @returns undefined: the text is no JSON */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAdapters(value: unknown): value is readonly AdapterSummary[] {
  const names = ["name", "backend", "vendor", "architecture", "description"];
  return (
    Array.isArray(value) &&
    value.every(
      (one) =>
        isJsonObject(one) &&
        names.every((name) => typeof one[name] === "string") &&
        typeof one["isSoftware"] === "boolean",
    )
  );
}
