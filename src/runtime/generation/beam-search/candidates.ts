/** The continuations of all running beams that a step of beam search looks at: the best, or a sample. */
import { scaleByFraction, softmaxWeight } from "../../sampling/softmax-weights.ts";

/** A running beam and a token after it. */
export interface Candidate {
  /** Index of the running beam. */
  beam: number;
  token: number;
  /** Log-probability of the whole sequence, f32. */
  score: number;
}

/**
 * The `count` best of all continuations, best first; of equal ones the lower beam, then the lower id. Those that are out
 * of the choice (−Infinity) are never among them, so there may be fewer.
 *
 * @param scores f32 [beams * vocabSize]: log-probabilities of whole sequences
 */
export function bestCandidates(scores: Float32Array, vocabSize: number, count: number): Candidate[] {
  return bestIndices(scores, scores.keys(), count).map((index) => candidateAt(index, scores, vocabSize));
}

/** The indices of the best scores. Few are kept of many: an insertion is rare, and cheap beside reading all scores. */
function bestIndices(scores: Float32Array, indices: Iterable<number>, count: number): number[] {
  const best: number[] = [];
  if (count === 0) {
    return best;
  }
  let threshold = -Infinity;
  for (const index of indices) {
    const score = scores[index] ?? 0;
    if (!(score > threshold)) {
      continue;
    }
    const place = best.findIndex((other) => (scores[other] ?? 0) < score);
    best.splice(place === -1 ? best.length : place, 0, index);
    if (best.length > count) {
      best.pop();
    }
    if (best.length === count) {
      threshold = scores[best[count - 1] ?? 0] ?? 0;
    }
  }
  return best;
}

/**
 * `count` of all continuations, drawn one after another without replacement, each with its probability among those that
 * are left: the distribution of torch.multinomial over the softmax of the scores. The order is that of the draws. When
 * no weight is left (2^-32 of the likeliest is none), the best of the rest follow, best first.
 *
 * @param scores as for `bestCandidates`
 * @param uniformAt a uniform u32 for each draw, from 0 on
 */
export function drawCandidates(
  scores: Float32Array,
  vocabSize: number,
  count: number,
  uniformAt: (draw: number) => number,
): Candidate[] {
  const highest = scores.reduce((max, score) => Math.max(max, score), -Infinity);
  const indices: number[] = [];
  /** Weights are integers, so that sums are exact and taking one out leaves no error. */
  const weights: number[] = [];
  let total = 0;
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index] ?? 0;
    if (score === -Infinity) {
      continue;
    }
    const weight = softmaxWeight(Math.fround(highest - score));
    indices.push(index);
    weights.push(weight);
    total += weight;
  }
  const drawn = new Set<number>();
  while (drawn.size < count && total > 0) {
    const target = scaleByFraction(total, uniformAt(drawn.size));
    let cumulative = 0;
    const place = weights.findIndex((weight) => (cumulative += weight) > target);
    drawn.add(indices[place] ?? 0);
    total -= weights[place] ?? 0;
    weights[place] = 0;
  }
  const rest = indices.filter((index) => !drawn.has(index));
  return [...drawn, ...bestIndices(scores, rest, count - drawn.size)].map((index) =>
    candidateAt(index, scores, vocabSize),
  );
}

function candidateAt(index: number, scores: Float32Array, vocabSize: number): Candidate {
  return { beam: Math.floor(index / vocabSize), token: index % vocabSize, score: scores[index] ?? 0 };
}
