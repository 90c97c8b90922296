/** The one door to Dawn, the WebGPU implementation behind the npm package "webgpu". */
import { errorMessage, ModelComposeError } from "../../base/errors.ts";

/**
 * Dawn's instances by their flags, held as long as the process lives: when one is collected while any of its objects is
 * still used, Dawn's event loop works on freed memory (seen with webgpu 0.6.2: std::system_error, segmentation fault).
 * An instance without devices neither burns CPU nor keeps the process alive.
 */
const instances = new Map<string, Promise<GPU>>();

/**
 * A WebGPU entry point of Dawn's, the same one for the same flags.
 *
 * @param flags Dawn's flags, such as "backend=null" or "enable-dawn-features=allow_unsafe_apis"
 * @throws ModelComposeError "unsupported" when Dawn cannot be loaded on this platform
 */
export function openGpu(flags: readonly string[]): Promise<GPU> {
  const key = flags.join(" ");
  const instance = instances.get(key) ?? create(flags);
  instances.set(key, instance);
  return instance;
}

async function create(flags: readonly string[]): Promise<GPU> {
  try {
    const dawn = await import("webgpu");
    return dawn.create([...flags]);
  } catch (error) {
    throw new ModelComposeError(
      "unsupported",
      `Dawn, which drives the GPU, cannot be loaded on ${process.platform} ${process.arch}: ${errorMessage(error)}.`,
      {
        remedy:
          'Use the device "wasm" (the CPU). Dawn\'s npm package has builds for Linux (glibc), macOS and Windows on x64 and arm64; "npm i webgpu" installs it again.',
        cause: error,
      },
    );
  }
}
