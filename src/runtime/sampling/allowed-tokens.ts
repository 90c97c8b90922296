/** Tokens that a text's form allows, applied to scores. */

/** Which tokens may come next. */
export interface AllowedTokens {
  /** A bit a token; tokens that end a sequence count for nothing in it. */
  readonly mask: Uint32Array;
  /** Whether the sequence may end. */
  readonly mayEnd: boolean;
}

/**
 * Takes all other tokens out of the choice.
 *
 * @param scores f32 [vocabulary], changed in place
 * @returns whether any token is left
 */
export function keepAllowed(
  scores: Float32Array,
  { mask, mayEnd }: AllowedTokens,
  eosTokenIds: readonly number[],
): boolean {
  const ends = eosTokenIds.map(
    (token) => [token, mayEnd ? (scores[token] ?? -Infinity) : -Infinity] as const,
  );
  for (let word = 0, token = 0; token < scores.length; word++) {
    const bits = mask[word] ?? 0;
    const end = Math.min(token + 32, scores.length);
    if (bits === 0) {
      scores.fill(-Infinity, token, end);
      token = end;
      continue;
    }
    for (let bit = 0; token < end; bit++, token++) {
      if (((bits >>> bit) & 1) === 0) {
        scores[token] = -Infinity;
      }
    }
  }
  for (const [token, score] of ends) {
    if (token < scores.length) {
      scores[token] = score;
    }
  }
  // A NaN is left for whoever reports it.
  return scores.some((score) => score !== -Infinity);
}
