/** A text that stays the same as long as the same GPUs and drivers are found: until the machine starts anew, at most. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { hostname, uptime } from "node:os";
import path from "node:path";

/** Where Vulkan's drivers are registered, and where Linux shows GPUs. */
const PLACES = [
  "/usr/share/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/dev/dri",
  "/dev/dxg",
  "/dev/nvidiactl",
  "/proc/driver/nvidia/version",
];

/** Variables by which Vulkan's loader and drivers find each other. */
const VARIABLES = /^(VK_|LD_LIBRARY_PATH$|NVIDIA_|CUDA_VISIBLE_DEVICES$|MESA_|DRI_PRIME$|XDG_DATA_)/;

export function graphicsState(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const variables = Object.entries(env).filter(([name]) => VARIABLES.test(name));
  const home = env["HOME"] ?? "";
  const places = [...PLACES, path.join(home, ".local/share/vulkan/icd.d")];
  return JSON.stringify([
    bootId(),
    // A container shares its host's boot and not its devices.
    hostname(),
    process.platform,
    process.arch,
    variables.sort(([one], [other]) => (one < other ? -1 : 1)),
    places.map(changeOf),
  ]);
}

/** What tells one start of the machine from another. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    // The start of the machine, to ten minutes: the two clocks drift apart, and a wrong guess costs one more look.
    return String(Math.round((Date.now() / 1000 - uptime()) / 600));
  }
}

/** Names in a folder with the time of its last change; null where there is none. */
function changeOf(place: string): unknown {
  try {
    const { mtimeMs } = statSync(place);
    return [mtimeMs, listing(place)];
  } catch {
    return null;
  }
}

function listing(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // This is a file or a device.
  }
}
