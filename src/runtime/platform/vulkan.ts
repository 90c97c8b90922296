/** Tells whether this system has what Dawn's Vulkan backend loads. */
import { constants } from "node:os";
import { errorMessage } from "../../base/errors.ts";

/** Name of the Vulkan loader, as Dawn asks for it. */
const VULKAN_LOADER = "libvulkan.so.1";

/**
 * Why the Vulkan loader cannot be opened; undefined where it can, and where Dawn uses other backends first (Direct3D on
 * Windows, Metal on macOS). Dawn itself answers a missing loader with a warning on stderr that callers cannot catch.
 */
export function vulkanLoaderProblem(): string | undefined {
  if (process.platform !== "linux") {
    return undefined;
  }
  try {
    process.dlopen({ exports: {} }, VULKAN_LOADER, constants.dlopen.RTLD_LAZY);
    return undefined;
  } catch (error) {
    // A library that was opened is then refused for being no addon of Node: it exists, which is all that is asked.
    const message = errorMessage(error);
    return message.includes("did not self-register") ? undefined : message;
  }
}
