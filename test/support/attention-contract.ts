/** What every way to attend must do, against f64: cases, their reference, and the tests that all ways share. */
import { expect, test } from "vitest";
import type { AttentionShape } from "../../src/kernels/attention/attention.gpu.ts";
import type { CacheFormat } from "../../src/kernels/append/append.gpu.ts";
import type { ScoreBias } from "../../src/kernels/attention/score-bias.ts";
import { biasOf, makeBias, makeSinks } from "./score-biases.ts";
import { nearestF16, normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "./numbers.ts";

export interface Row {
  slot: number;
  position: number;
}

/** Rows and a cache that holds NaN wherever no row may look. */
export interface AttentionCase {
  shape: AttentionShape;
  rows: readonly Row[];
  /** Number of positions of an encoder's input, where the shape is over that. */
  sourceLength: number;
  scale: number;
  /** The soft cap of scores, where the shape has one. */
  cap: number;
  /** The biases of scores, where the shape has some. */
  bias?: ScoreBias;
  /** The numbers of the biases' table, behind one word that is no part of it. */
  table: Float32Array;
  /** The sinks, [heads], where the shape has some. */
  sinks: Float32Array;
  /** Queries, [R][heads][headDim]. */
  query: Float32Array;
  /** Keys, [slot][context][kvHeads][headDim]; of an encoder's input one slot. */
  keys: Float32Array;
  values: Float32Array;
}

/** How a way to attend holds the factors of its products. Cases of "f16" have numbers that f16 holds exactly. */
export type Factors = "f32" | "f16";

/** A way to attend; gives [R][heads][headDim]. */
export type Attend = (data: AttentionCase) => Promise<Float32Array>;

/** Far below the largest scores of cases with a sharpness of 30. */
const SOFT_CAP = 5;

/** The buffer of vectors of a case: the table with the word before it, then the sinks; and where both begin. */
export function vectorsOf({ table, sinks }: AttentionCase): {
  vectors: Float32Array;
  offsets: { table: number; sinks: number };
} {
  return { vectors: Float32Array.of(...table, ...sinks), offsets: { table: 1, sinks: table.length } };
}

/** Rows at consecutive positions of a slot. */
export function run(slot: number, first: number, count: number): Row[] {
  return Array.from({ length: count }, (_, i) => ({ slot, position: first + i }));
}

/** The positions that a row sees: [first, end) of its slot. */
function seenBy(
  { slot, position }: Row,
  { window = Infinity, source = false }: AttentionShape,
  sourceLength: number,
): { slot: number; first: number; end: number } {
  if (source) {
    return { slot: 0, first: 0, end: sourceLength };
  }
  return { slot, first: Math.max(0, position - window + 1), end: position + 1 };
}

/** A case of random numbers. @param sharpness multiplies the queries: large scores */
export function makeCase(
  shape: AttentionShape,
  rows: readonly Row[],
  sharpness = 1,
  sourceLength = 0,
  factors: Factors = "f32",
): AttentionCase {
  const { heads, kvHeads, headDim, context, cache: format } = shape;
  const random = randomSource(headDim * 1000 + rows.length * 10 + heads);
  const width = kvHeads * headDim;
  const seen = rows.map((row) => seenBy(row, shape, sourceLength));
  const slots = Math.max(...seen.map(({ slot }) => slot)) + 1;
  const [keys, values] = [0, 1].map(() => {
    const numbers = normalNumbers(slots * context * width, random);
    return format === "f16" || factors === "f16" ? numbers.map(nearestF16) : numbers;
  });
  for (let slot = 0; slot < slots; slot++) {
    for (let p = 0; p < context; p++) {
      if (seen.some((row) => row.slot === slot && p >= row.first && p < row.end)) {
        continue;
      }
      const at = (slot * context + p) * width;
      for (const cache of [keys, values]) {
        cache.fill(NaN, at, at + width);
      }
    }
  }
  const query = normalNumbers(rows.length * heads * headDim, random, sharpness);
  return {
    shape,
    rows,
    sourceLength,
    scale: Math.fround(headDim ** -0.5),
    cap: SOFT_CAP,
    ...(shape.bias === undefined ? { table: Float32Array.of() } : makeBias(shape.bias, heads)),
    sinks: shape.hasSinks === true ? makeSinks(heads) : Float32Array.of(),
    query: factors === "f16" ? query.map(nearestF16) : query,
    keys,
    values,
  };
}

/** The exact result, softmax(q k scale) v in f64, and what f32, or weights in f16, may err by. */
function reference(
  { shape, rows, sourceLength, scale, cap, bias, table, sinks, query, keys, values }: AttentionCase,
  factors: Factors,
): { expected: Float64Array; allowed: Float64Array } {
  const { heads, kvHeads, headDim, context } = shape;
  const expected = new Float64Array(rows.length * heads * headDim);
  const allowed = new Float64Array(expected.length);
  for (const [r, row] of rows.entries()) {
    const { slot, first, end } = seenBy(row, shape, sourceLength);
    const visible = end - first;
    for (let h = 0; h < heads; h++) {
      const q = (r * heads + h) * headDim;
      const kvHead = Math.floor(h / (heads / kvHeads));
      const at = (p: number): number => ((slot * context + first + p) * kvHeads + kvHead) * headDim;
      let longest = 0;
      let mostAdded = 0;
      const scores = Float64Array.from({ length: visible }, (_, p) => {
        let [dot, kk] = [0, 0];
        for (let d = 0; d < headDim; d++) {
          dot += query[q + d] * keys[at(p) + d];
          kk += keys[at(p) + d] ** 2;
        }
        longest = Math.max(longest, Math.sqrt(kk));
        const score = shape.isCapped === true ? cap * Math.tanh((dot * scale) / cap) : dot * scale;
        const added = biasOf(bias, table, h, { key: first + p, position: row.position });
        mostAdded = Math.max(mostAdded, Math.abs(added));
        return score + added;
      });
      const sink = shape.hasSinks === true ? sinks[h] : -Infinity;
      const largest = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, Math.exp(sink - largest));
      const norm = Math.sqrt(query.subarray(q, q + headDim).reduce((sum, v) => sum + v * v, 0));
      // As for the CPU's kernels (attention.test.ts): a dot errs by 2 u sqrt(K) |q| |k|, a weight by twice that and some
      // ulps of its exponential and its rescaling, the sums by u sqrt(positions), relative to the largest value.
      const score = 2 * Math.sqrt(headDim) * norm * longest * scale;
      // A soft cap brings scores together, and errs by some ulps of its own; so does the sum with a bias.
      const own =
        (shape.isCapped === true ? 16 * cap : 0) +
        2 * mostAdded +
        (Number.isFinite(sink) ? Math.abs(sink) : 0);
      const inF32 = UNIT_ROUNDOFF * (2 * (score + own) + 2 * Math.sqrt(visible) + 16);
      // A weight as f16 is off by 2^-10 of itself at most, whichever way it is rounded, or by 2^-25 of the largest where it
      // is subnormal; so is the sum that it is divided by.
      const inF16 = factors === "f16" ? 2 * (2 ** -10 + (visible * 2 ** -25) / total) : 0;
      const relative = inF32 + inF16;
      for (let d = 0; d < headDim; d++) {
        let most = 0;
        for (let p = 0; p < visible; p++) {
          expected[q + d] += (weights[p] / total) * values[at(p) + d];
          most = Math.max(most, Math.abs(values[at(p) + d]));
        }
        allowed[q + d] = relative * most;
      }
    }
  }
  return { expected, allowed };
}

export async function checkAttention(
  attend: Attend,
  data: AttentionCase,
  factors: Factors = "f32",
): Promise<void> {
  const { expected, allowed } = reference(data, factors);
  const { ratio, text } = worstError(await attend(data), expected, (i) => allowed[i]);
  expect(ratio, text).toBeLessThanOrEqual(1);
}

/**
 * Defines the tests. Software adapters compile slowly, so most of them share a shape.
 *
 * @param shapes heads, KV heads and head dimensions to try
 * @param cache how keys and values are held
 * @param factors how products hold their factors
 */
export function attentionContract(
  attend: Attend,
  shapes: readonly [number, number, number][],
  cache: CacheFormat,
  factors: Factors = "f32",
): void {
  const context = 210;
  const base: AttentionShape = { heads: 6, kvHeads: 2, headDim: 8, context, cache };
  const make = (
    shape: AttentionShape,
    rows: readonly Row[],
    sharpness = 1,
    sourceLength = 0,
  ): AttentionCase => makeCase(shape, rows, sharpness, sourceLength, factors);
  const check = (data: AttentionCase): Promise<void> => checkAttention(attend, data, factors);
  /** Rows of these ranges by themselves must have the bits that they have among all. */
  const expectOwnBits = async (data: AttentionCase, ranges: readonly [number, number][]): Promise<void> => {
    const width = data.shape.heads * data.shape.headDim;
    const all = await attend(data);
    for (const [first, end] of ranges) {
      const rows = data.rows.slice(first, end);
      const part = await attend({ ...data, rows, query: data.query.slice(first * width, end * width) });
      expect(part).toEqual(all.slice(first * width, end * width));
    }
  };

  test.each(shapes)("%i heads, %i KV heads of %i", async (heads, kvHeads, headDim) => {
    await check(make({ heads, kvHeads, headDim, context, cache }, [...run(0, 3, 2), ...run(0, 66, 3)]));
  });

  test.each([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200])("%i positions", async (length) => {
    const count = Math.min(length, 23);
    await check(make(base, run(0, length - count, count)));
  });

  test("rows of several slots, in any order of slots, at any positions", async () => {
    const rows = [...run(2, 0, 3), ...run(0, 40, 1), ...run(1, 209, 1), ...run(2, 3, 20), ...run(0, 70, 2)];
    await check(make(base, rows));
  });

  test.each([30, 300, 3000])("scores of some %i", async (sharpness) => {
    await check(make(base, run(0, 120, 30), sharpness));
  });

  test("large scores with a soft cap, and a window", async () => {
    const shape = { ...base, window: 100, isCapped: true };
    await check(make(shape, [...run(0, 0, 3), ...run(1, 90, 12), ...run(0, 140, 25)], 30));
  });

  test.each([5, 100])("a window of %i positions", async (window) => {
    await check(make({ ...base, window }, [...run(0, 0, 3), ...run(1, 90, 12), ...run(0, 140, 25)]));
  });

  test.each([1, 33, 64, 200])("all of an encoder's input of %i, whatever the row", async (sourceLength) => {
    const rows = [...run(0, 0, 3), ...run(2, 5, 1), ...run(1, 209, 1), ...run(0, 190, 18)];
    await check(make({ ...base, source: true }, rows, 1, sourceLength));
  });

  // The kernel of matrix units, which alone holds factors as f16, knows no biases; they do not depend on how the cache is held.
  const biased: readonly Partial<AttentionShape>[] = [
    { bias: "linear", isCapped: true, window: 100 },
    { bias: "rounded" },
    { bias: "table" },
    { bias: "table", source: true },
  ];
  test.each(factors === "f16" || cache === "f16" ? [] : biased)("biases: %o", async (part) => {
    const shape = { ...base, ...part };
    const rows =
      shape.source === true ? run(0, 0, 40) : [...run(2, 0, 3), ...run(1, 90, 12), ...run(0, 140, 25)];
    const data = make(shape, rows, 1, 40);
    await check(data);
    await expectOwnBits(data, [
      [0, 1],
      [13, 38],
    ]);
  });

  // A table of biases is among the vectors too.
  const withSinks: AttentionShape = {
    ...base,
    window: 100,
    hasSinks: true,
    bias: factors === "f16" ? undefined : "table",
  };
  test.skipIf(cache === "f16" && factors === "f32")("sinks", async () => {
    const rows = [...run(2, 0, 3), ...run(1, 90, 12), ...run(0, 140, 25)];
    const data = make(withSinks, rows);
    await check(data);
    await expectOwnBits(data, [
      [0, 1],
      [13, 38],
    ]);
    // Scores far above and below the sinks.
    await check({ ...data, query: data.query.map((value) => value * (factors === "f16" ? 4 : 300)) });
    // Sinks so far above and below the scores that exponentials end.
    const ends = Float32Array.of(1e4, -1e4, 200, -200, 3e38, -Infinity);
    const output = await attend({ ...data, sinks: ends });
    const own = await attend({ ...data, sinks: new Float32Array(6).fill(-Infinity) });
    for (const [at, value] of output.entries()) {
      if (Math.floor(at / 8) % 2 === 0) {
        // The exponential ends somewhere below 2^128.
        expect(Math.abs(value)).toBeLessThan(1e-34);
      } else {
        expect(value).toBe(own[at]);
      }
    }
  });

  test("one position gives its value, exactly", async () => {
    const data = make(base, run(0, 0, 1));
    const head = (h: number): number[] => [...data.values.subarray(h * 8, h * 8 + 8)];
    expect([...(await attend(data))]).toEqual([0, 0, 0, 1, 1, 1].flatMap(head));
  });

  test("equal scores average", async () => {
    const data = make(base, run(0, 150, 40));
    data.query.fill(0);
    await check(data);
  });

  test("scores that differ by more than f32 can tell leave the largest", async () => {
    for (const best of [0, 40, 70, 99]) {
      const data = make(base, run(0, 99, 1));
      data.query.fill(1e18);
      data.keys.fill(-6e4).fill(6e4, best * 16, best * 16 + 16);
      const head = (h: number): number[] => [
        ...data.values.subarray(best * 16 + h * 8, best * 16 + h * 8 + 8),
      ];
      expect([...(await attend(data))]).toEqual([0, 0, 0, 1, 1, 1].flatMap(head));
    }
  });

  test("NaN in a key or a value shows, in the heads that see it", async () => {
    for (const poison of ["keys", "values"] as const) {
      const data = make(base, run(0, 75, 1));
      data[poison].fill(NaN, 40 * 16, 40 * 16 + 8);
      const output = await attend(data);
      expect(output.subarray(0, 24).every(Number.isNaN)).toBe(true);
      expect(output.subarray(24).some(Number.isNaN)).toBe(false);
    }
  });

  test("a row has the same bits whatever rows are beside it", async () => {
    await expectOwnBits(make(base, [...run(1, 7, 2), ...run(0, 120, 30)]), [
      [0, 1],
      [2, 3],
      [3, 20],
      [24, 32],
    ]);
  });
}
