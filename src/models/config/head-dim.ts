import { headSize, invalidConfig, type ConfigFile } from "./schema.ts";

/**
 * Channels of a head, for models whose heads share the hidden channels; sizes come with their keys. Throws
 * "invalid-config" where they cannot be shared evenly (`otherwise` ends that sentence), or are more than any head has.
 */
export function readHeadDim(
  file: ConfigFile,
  [hiddenKey, hiddenSize]: readonly [string, number],
  [headsKey, heads]: readonly [string, number],
  otherwise = "",
): number {
  const headDim = hiddenSize / heads;
  if (!Number.isInteger(headDim)) {
    throw invalidConfig(
      file,
      `"${hiddenKey}" is ${hiddenSize}; expected a multiple of "${headsKey}", ${heads}${otherwise}.`,
    );
  }
  if (headSize.safeParse(headDim).success) {
    return headDim;
  }
  throw invalidConfig(
    file,
    `"${hiddenKey}", ${hiddenSize}, makes heads of ${headDim} channels with "${headsKey}", ${heads}; ` +
      `expected at most ${headSize.maxValue}.`,
  );
}
