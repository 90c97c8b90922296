/** Attention heads, as config.json counts them. */
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

/**
 * The number of key heads and of value heads: as many as query heads where the file says nothing.
 *
 * @throws ModelComposeError "invalid-config" when it does not divide the number of query heads
 */
export function readKvHeads(
  file: ConfigFile,
  { num_attention_heads: heads, num_key_value_heads: kvHeads }: HeadCounts,
): number {
  if (heads % (kvHeads ?? heads) !== 0) {
    throw invalidConfig(
      file,
      `"num_attention_heads" is ${heads}; expected a multiple of "num_key_value_heads", ${kvHeads}.`,
    );
  }
  return kvHeads ?? heads;
}

interface HeadCounts {
  num_attention_heads: number;
  num_key_value_heads?: number | null;
}
