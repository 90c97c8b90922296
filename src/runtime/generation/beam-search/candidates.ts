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
 * @returns a generator whose steps are a beam's vocabulary each
 */
export function* bestCandidates(
  scores: Float32Array,
  vocabSize: number,
  count: number,
): Generator<undefined, Candidate[]> {
  const best = yield* bestIndices(scores, vocabSize, count, NONE);
  return best.map((index) => candidateAt(index, scores, vocabSize));
}

const NONE: ReadonlySet<number> = new Set();

/**
 * The indices of the best scores. Few are kept of many: an insertion is rare, and cheap beside reading all scores.
 *
 * @param taken indices that are left out
 */
function* bestIndices(
  scores: Float32Array,
  vocabSize: number,
  count: number,
  taken: ReadonlySet<number>,
): Generator<undefined, number[]> {
  const best: number[] = [];
  if (count === 0) {
    return best;
  }
  let threshold = -Infinity;
  for (let start = 0; start < scores.length; start += vocabSize) {
    for (let index = start; index < start + vocabSize; index++) {
      const score = scores[index] ?? 0;
      if (!(score > threshold) || taken.has(index)) {
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
    yield;
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
 * @returns a generator whose steps are a beam's vocabulary each
 */
export function* drawCandidates(
  scores: Float32Array,
  vocabSize: number,
  count: number,
  uniformAt: (draw: number) => number,
): Generator<undefined, Candidate[]> {
  let highest = -Infinity;
  for (let start = 0; start < scores.length; start += vocabSize) {
    for (let index = start; index < start + vocabSize; index++) {
      highest = Math.max(highest, scores[index] ?? 0);
    }
    yield;
  }
  const weightAt = (index: number): number => {
    const score = scores[index] ?? 0;
    return score === -Infinity ? 0 : softmaxWeight(Math.fround(highest - score));
  };
  /** What is left to draw of each beam. Weights are integers: sums are exact, and taking one out leaves no error. */
  const left: number[] = [];
  for (let start = 0; start < scores.length; start += vocabSize) {
    let sum = 0;
    for (let index = start; index < start + vocabSize; index++) {
      sum += weightAt(index);
    }
    left.push(sum);
    yield;
  }
  const drawn = new Set<number>();
  let total = left.reduce((sum, weight) => sum + weight, 0);
  while (drawn.size < count && total > 0) {
    let rest = scaleByFraction(total, uniformAt(drawn.size));
    let beam = 0;
    while (rest >= (left[beam] ?? Infinity)) {
      rest -= left[beam++] ?? 0;
    }
    // Weights are found anew, as a beam's are soon computed and those of all beams would take more memory than the scores.
    let index = beam * vocabSize - 1;
    for (let weight = 0; rest >= 0; rest -= weight) {
      index++;
      weight = drawn.has(index) ? 0 : weightAt(index);
    }
    drawn.add(index);
    total -= weightAt(index);
    left[beam] = (left[beam] ?? 0) - weightAt(index);
    yield;
  }
  const others = yield* bestIndices(scores, vocabSize, count - drawn.size, drawn);
  return [...drawn, ...others].map((index) => candidateAt(index, scores, vocabSize));
}

function candidateAt(index: number, scores: Float32Array, vocabSize: number): Candidate {
  return { beam: Math.floor(index / vocabSize), token: index % vocabSize, score: scores[index] ?? 0 };
}
