/** In which order contenders are measured. */

/** Contenders so that those with weights of as many bits are neighbours, most bits first. */
export function byBits<C extends { bits: number }>(contenders: readonly C[]): C[] {
  return contenders.toSorted((a, b) => b.bits - a.bits);
}

/**
 * The contenders of a round. Ours and theirs on weights of as many bits are neighbours, so that a machine that changes its
 * speed changes it for both; every other round goes backwards, so that none is always first.
 *
 * @param round counts from 0
 */
export function orderOfRound<C extends { bits: number }>(contenders: readonly C[], round: number): C[] {
  const order = byBits(contenders);
  return round % 2 === 0 ? order : order.reverse();
}
