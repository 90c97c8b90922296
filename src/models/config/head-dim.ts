import { headSize, invalidConfig, type ConfigFile } from "./schema.ts";

/**
 * The number of channels of a head, for models whose heads share the hidden channels. Sizes come with their keys in the
 * file, for errors.
 *
 * @param otherwise the end of the error's sentence where the channels cannot be shared evenly
 * @throws ModelComposeError "invalid-config" where they cannot be shared evenly, or are more than any head has
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
