import { invalidConfig, type ConfigFile } from "./schema.ts";

/**
 * Channels of a head, for families whose heads share the hidden channels; sizes come with their keys. Throws
 * "invalid-config" where they cannot be shared evenly.
 */
export function readHeadDim(
  file: ConfigFile,
  [hiddenKey, hiddenSize]: readonly [string, number],
  [headsKey, heads]: readonly [string, number],
): number {
  const headDim = hiddenSize / heads;
  if (Number.isInteger(headDim)) return headDim;
  throw invalidConfig(file, `"${hiddenKey}" is ${hiddenSize}; expected a multiple of "${headsKey}", ${heads}.`);
}
