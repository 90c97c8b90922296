/**
 * The single steps of sampling, with the formulas, f32 arithmetic and boundary rules of transformers' logits
 * processors (5.x, on CPU). Values are changed in place; which tokens stay is a list of candidates, ascending by id.
 */
import { scaleByFraction, softmaxWeight } from "./softmax-weights.ts";

/** A list of token ids in the first `size` places of a buffer as long as the vocabulary. */
export interface TokenList {
  readonly ids: Int32Array;
  size: number;
}

/**
 * CTRL's repetition penalty (Keskar et al. 2019): a logit of a seen token is divided by the penalty when positive and
 * multiplied when negative.
 */
export function penaliseRepetition(logits: Float32Array, seen: Readonly<TokenList>, penalty: number): void {
  const factor = Math.fround(penalty);
  for (let i = 0; i < seen.size; i++) {
    const token = seen.ids[i] ?? 0;
    const logit = logits[token] ?? 0;
    logits[token] = logit < 0 ? logit * factor : logit / factor;
  }
}

/**
 * OpenAI's penalties: a logit loses `frequency` times the token's count, then `presence`, each step in f32, as in vLLM. Ids
 * beyond the vocabulary are ignored.
 */
export function penaliseCounts(
  logits: Float32Array,
  counts: ReadonlyMap<number, number>,
  { frequency, presence }: { readonly frequency: number; readonly presence: number },
): void {
  const each = Math.fround(frequency);
  for (const [token, count] of counts) {
    if (token < logits.length) {
      const logit = Math.fround((logits[token] ?? 0) - Math.fround(each * count));
      logits[token] = logit - Math.fround(presence);
    }
  }
}

/** Takes tokens out of the choice. Ids beyond the vocabulary are ignored. */
export function banTokens(logits: Float32Array, tokens: Iterable<number>): void {
  for (const token of tokens) {
    if (token < logits.length) {
      logits[token] = -Infinity;
    }
  }
}

/** Leaves the choice to these tokens, all equally likely. */
export function forceTokens(logits: Float32Array, tokens: readonly number[]): void {
  logits.fill(-Infinity);
  for (const token of tokens) {
    if (token < logits.length) {
      logits[token] = 0;
    }
  }
}

/**
 * Logarithms of probabilities, in place: x − max − log Σ exp(x − max), each step rounded to f32.
 *
 * @returns false when that is not possible: a logit is NaN or +Infinity, or all are −Infinity
 */
export function logSoftmax(logits: Float32Array): boolean {
  const best = argmax(logits);
  const highest = logits[best] ?? NaN;
  if (!Number.isFinite(highest)) {
    return false;
  }
  let sum = 0;
  for (let token = 0; token < logits.length; token++) {
    const distance = Math.fround((logits[token] ?? 0) - highest);
    logits[token] = distance;
    sum += Math.exp(distance);
  }
  const logSum = Math.fround(Math.log(sum));
  for (let token = 0; token < logits.length; token++) {
    logits[token] = (logits[token] ?? 0) - logSum;
  }
  return true;
}

/** Every logit divided by the temperature, in f32. */
export function applyTemperature(logits: Float32Array, temperature: number): void {
  const divisor = Math.fround(temperature);
  if (divisor === 1) {
    return;
  }
  for (let token = 0; token < logits.length; token++) {
    logits[token] = (logits[token] ?? 0) / divisor;
  }
}

/**
 * The most likely token; of equal ones the lowest id.
 *
 * @returns its id; -1 when all logits are -Infinity; the id of the first NaN when there is one
 */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let highest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] ?? 0;
    // False for a smaller logit only: one comparison a token finds both a new maximum and a NaN.
    if (logit <= highest) {
      continue;
    }
    if (Number.isNaN(logit)) {
      return token;
    }
    highest = logit;
    best = token;
  }
  return best;
}

/** All tokens that are not banned. */
export function keepFinite(logits: Float32Array, candidates: TokenList): void {
  keepAtLeast(logits, -Number.MAX_VALUE, candidates);
}

/**
 * The k most likely tokens, and all that are as likely as the k-th.
 *
 * @param heap scratch for k values, k at most the vocabulary
 */
export function keepTopK(logits: Float32Array, heap: Float32Array, candidates: TokenList): void {
  keepAtLeast(logits, Math.max(kthHighest(logits, heap), -Number.MAX_VALUE), candidates);
}

function keepAtLeast(logits: Float32Array, threshold: number, candidates: TokenList): void {
  const { ids } = candidates;
  let size = 0;
  for (let token = 0; token < logits.length; token++) {
    if ((logits[token] ?? 0) >= threshold) {
      ids[size++] = token;
    }
  }
  candidates.size = size;
}

/** The lowest of the `heap.length` highest values, by a min-heap of the highest so far. */
function kthHighest(values: Float32Array, heap: Float32Array): number {
  heap.set(values.subarray(0, heap.length));
  for (let node = (heap.length >>> 1) - 1; node >= 0; node--) {
    siftDown(heap, node);
  }
  for (let i = heap.length; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (value > (heap[0] ?? 0)) {
      heap[0] = value;
      siftDown(heap, 0);
    }
  }
  return heap[0] ?? 0;
}

function siftDown(heap: Float32Array, start: number): void {
  const value = heap[start] ?? 0;
  let node = start;
  for (;;) {
    let child = 2 * node + 1;
    if (child >= heap.length) {
      break;
    }
    if (child + 1 < heap.length && (heap[child + 1] ?? 0) < (heap[child] ?? 0)) {
      child++;
    }
    const smallest = heap[child] ?? 0;
    if (smallest >= value) {
      break;
    }
    heap[node] = smallest;
    node = child;
  }
  heap[node] = value;
}

/**
 * Writes the softmax weight of every candidate to its place by id.
 *
 * @param highest the highest logit
 * @returns the sum of the weights, exact: at most 2^31 · vocabulary, so below 2^53 for up to four million tokens
 */
export function weigh(
  logits: Float32Array,
  highest: number,
  { ids, size }: TokenList,
  weights: Uint32Array,
): number {
  let total = 0;
  for (let i = 0; i < size; i++) {
    const token = ids[i] ?? 0;
    const weight = softmaxWeight(Math.fround(highest - (logits[token] ?? 0)));
    weights[token] = weight;
    total += weight;
  }
  return total;
}

/**
 * Nucleus sampling (Holtzman et al. 2019) as transformers words it: of the candidates in ascending order, remove those
 * whose cumulative probability is at most 1 − p, but never the last. Of equal logits the lower ids go first (a stable
 * sort's order). The comparison is that of transformers, between numbers rounded to f32.
 *
 * Not a sort but a selection by weight, expected O(candidates); most never enter it.
 *
 * @param weights as `weigh` wrote them, with their sum
 * @param order scratch, as long as the vocabulary
 */
export function keepNucleus(
  logits: Float32Array,
  weights: Uint32Array,
  total: number,
  topP: number,
  order: Int32Array,
  candidates: TokenList,
): void {
  const limit = scaleByFraction(total, removableFraction(topP));
  // All tokens of at most this weight weigh at most `limit` together, and come first: they can go unsorted.
  const negligible = limit / candidates.size;
  let removed = 0;
  let size = 0;
  for (let i = 0; i < candidates.size; i++) {
    const token = candidates.ids[i] ?? 0;
    const weight = weights[token] ?? 0;
    if (weight <= negligible) {
      removed += weight;
    } else {
      order[size++] = token;
    }
  }
  const first = firstBeyond(logits, weights, order, size, limit - removed);
  retain(candidates, (token) => token === first || isBelow(logits, first, token));
}

/** The largest probability that equals at most 1 − p once both are rounded to f32, in units of 2^-32. */
export function removableFraction(topP: number): number {
  const bound = Math.fround(1 - topP);
  const halfStep = 2 ** (Math.floor(Math.log2(bound)) - 24);
  return Math.min(Math.floor((bound + halfStep) * 2 ** 32), 2 ** 32 - 1);
}

/** Ascending by logit, then by id: a total order. */
function isBelow(logits: Float32Array, a: number, b: number): boolean {
  const logitA = logits[a] ?? 0;
  const logitB = logits[b] ?? 0;
  return logitA < logitB || (logitA === logitB && a < b);
}

/**
 * The token at which the cumulative weight, in ascending order, first exceeds `limit`: quickselect (Hoare 1961) by
 * weight instead of rank. `order` is permuted.
 */
function firstBeyond(
  logits: Float32Array,
  weights: Uint32Array,
  order: Int32Array,
  size: number,
  limit: number,
): number {
  let low = 0;
  let high = size;
  while (high - low > 1) {
    const last = high - 1;
    swap(order, medianOfThree(logits, order, low, last), last);
    const pivot = order[last] ?? 0;
    let boundary = low;
    let weightBelow = 0;
    for (let i = low; i < last; i++) {
      const token = order[i] ?? 0;
      if (!isBelow(logits, token, pivot)) {
        continue;
      }
      weightBelow += weights[token] ?? 0;
      swap(order, i, boundary++);
    }
    if (weightBelow > limit) {
      high = boundary;
      continue;
    }
    limit -= weightBelow + (weights[pivot] ?? 0);
    if (limit < 0) {
      return pivot;
    }
    swap(order, boundary, last);
    low = boundary + 1;
  }
  return order[low] ?? 0;
}

function swap(values: Int32Array, i: number, j: number): void {
  const value = values[i] ?? 0;
  values[i] = values[j] ?? 0;
  values[j] = value;
}

/** The index, among first, middle and last, whose token is neither the highest nor the lowest. */
function medianOfThree(logits: Float32Array, order: Int32Array, first: number, last: number): number {
  const middle = (first + last) >>> 1;
  const a = order[first] ?? 0;
  const b = order[middle] ?? 0;
  const c = order[last] ?? 0;
  if (isBelow(logits, a, b)) {
    if (isBelow(logits, b, c)) {
      return middle;
    }
    return isBelow(logits, a, c) ? last : first;
  }
  if (isBelow(logits, a, c)) {
    return first;
  }
  return isBelow(logits, b, c) ? last : middle;
}

/**
 * Min-p sampling (Nguyen et al. 2024): candidates at least `minP` times as likely as the most likely one, that is, at
 * most −ln(minP) below the highest logit.
 */
export function keepMinP(logits: Float32Array, highest: number, minP: number, candidates: TokenList): void {
  const farthest = Math.fround(-Math.log(minP));
  retain(candidates, (token) => Math.fround(highest - (logits[token] ?? 0)) <= farthest);
}

function retain(candidates: TokenList, keeps: (token: number) => boolean): void {
  const { ids, size } = candidates;
  let kept = 0;
  for (let i = 0; i < size; i++) {
    const token = ids[i] ?? 0;
    if (keeps(token)) {
      ids[kept++] = token;
    }
  }
  candidates.size = kept;
}

/** The candidate, in id order, at which the cumulative weight first exceeds `target`, an integer below the total. */
export function pick({ ids, size }: TokenList, weights: Uint32Array, target: number): number {
  let cumulative = 0;
  for (let i = 0; i < size; i++) {
    const token = ids[i] ?? 0;
    cumulative += weights[token] ?? 0;
    if (cumulative > target) {
      return token;
    }
  }
  throw new RangeError(`target ${target} is not below the total weight ${cumulative}`);
}
