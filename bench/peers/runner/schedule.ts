/** In which order contenders are measured. */

/**
 * The contenders of a round. Ours and theirs on weights of the same type are neighbours, so that a machine that changes
 * its speed changes it for both; every other round goes backwards, so that none is always first.
 *
 * @param round counts from 0
 */
export function orderOfRound<C extends { weights: string }>(contenders: readonly C[], round: number): C[] {
  const types = [...new Set(contenders.map(({ weights }) => weights))];
  const order = types.flatMap((type) => contenders.filter(({ weights }) => weights === type));
  return round % 2 === 0 ? order : order.reverse();
}
