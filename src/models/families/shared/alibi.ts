/** The slopes of ALiBi (Press et al. 2021, https://arxiv.org/abs/2108.12409), f32 numbers, as transformers computes them. */

/**
 * The slopes of BLOOM and Falcon (build_alibi_tensor): for n = 2^k heads the powers 1 to n of 2^(-8 / n). What heads are left behind
 * the largest such n have every other power of those for 2 n, from the first on.
 */
export function alibiSlopes(heads: number): number[] {
  const most = 2 ** Math.floor(Math.log2(heads));
  const powers = (count: number, of: number, step: number): number[] => {
    const base = Math.fround(2 ** (-8 / of));
    return Array.from({ length: count }, (_, i) => Math.fround(base ** (1 + i * step)));
  };
  return [...powers(most, most, 1), ...powers(heads - most, 2 * most, 2)];
}

/**
 * The slopes of MPT (build_mpt_alibi_tensor): of the smallest n = 2^k heads that are enough 2^(-i most / n), i from 1 to n; of fewer
 * heads than n those with even i come first.
 *
 * @param most the exponent of the last one, "alibi_bias_max"
 */
export function mptSlopes(heads: number, most: number): number[] {
  const enough = 2 ** Math.ceil(Math.log2(heads));
  const all = Array.from({ length: enough }, (_, i) =>
    Math.fround(2 ** Math.fround(-(i + 1) * Math.fround(most / enough))),
  );
  if (enough === heads) {
    return all;
  }
  return [...all.filter((_, i) => i % 2 === 1), ...all.filter((_, i) => i % 2 === 0)].slice(0, heads);
}
