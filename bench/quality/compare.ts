/** Compares distributions of the next token, position by position. */

/** What adds up over the positions of a text. */
export class Comparison {
  /** The sum of -ln p of the tokens that came, by the candidate. */
  #surprise = 0;
  #sameTop = 0;
  /** The divergence of every position. */
  readonly #divergences: number[] = [];

  /**
   * Adds the positions of a sequence: logits [positions][vocabulary] of the reference and of the candidate, and the token that
   * came after each position.
   */
  add(reference: Float32Array, candidate: Float32Array, next: readonly number[]): void {
    const size = reference.length / next.length;
    for (const [row, token] of next.entries()) {
      const p = reference.subarray(row * size, (row + 1) * size);
      const q = candidate.subarray(row * size, (row + 1) * size);
      const { divergence, logSumQ, isSameTop } = compareRow(p, q);
      this.#divergences.push(divergence);
      this.#surprise += logSumQ - q[token];
      this.#sameTop += isSameTop ? 1 : 0;
    }
  }

  get result(): Quality {
    const sorted = Float64Array.from(this.#divergences).sort();
    const positions = sorted.length;
    return {
      positions,
      perplexity: Math.exp(this.#surprise / positions),
      meanDivergence: sorted.reduce((sum, value) => sum + value, 0) / positions,
      divergence99: sorted[Math.min(positions - 1, Math.ceil(0.99 * positions) - 1)],
      sameTop: this.#sameTop / positions,
    };
  }
}

export interface Quality {
  /** Positions that were compared. */
  readonly positions: number;
  readonly perplexity: number;
  /** Mean Kullback–Leibler divergence of the candidate from the reference, in nats. */
  readonly meanDivergence: number;
  /** Its 99th percentile. */
  readonly divergence99: number;
  /** The share of positions where both have the same likeliest token. */
  readonly sameTop: number;
}

/** Σ p (ln p − ln q) over the vocabulary, p and q the softmax of the logits. */
export function compareRow(
  p: Float32Array,
  q: Float32Array,
): { divergence: number; logSumQ: number; isSameTop: boolean } {
  let [topP, topQ] = [0, 0];
  for (let i = 1; i < p.length; i++) {
    topP = p[i] > p[topP] ? i : topP;
    topQ = q[i] > q[topQ] ? i : topQ;
  }
  const [mostP, mostQ] = [p[topP], q[topQ]];
  let [sumP, sumQ, sumDifference] = [0, 0, 0];
  for (let i = 0; i < p.length; i++) {
    const weight = Math.exp(p[i] - mostP);
    sumP += weight;
    sumQ += Math.exp(q[i] - mostQ);
    sumDifference += weight * (p[i] - q[i]);
  }
  const logSumP = mostP + Math.log(sumP);
  const logSumQ = mostQ + Math.log(sumQ);
  // Rounding of the logarithms may leave less than nothing of equal distributions.
  const divergence = Math.max(0, sumDifference / sumP - logSumP + logSumQ);
  return { divergence, logSumQ, isSameTop: topP === topQ };
}
