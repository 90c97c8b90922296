/** Both ways to attend on the GPU (split and combined; tile by tile) against f64. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab, type LabBuffer } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import {
  attentionBlockKernel,
  attentionBlockWorkgroups,
  attentionCombineKernel,
  attentionCombineWorkgroups,
  attentionDecodeKernel,
  attentionDecodeWorkgroups,
  attentionParams,
  attentionPartialWords,
  attentionSplits,
  attentionTileRows,
  attentionTiles,
  attentionTileWords,
  type AttentionShape,
} from "./attention.gpu.ts";

const MAX_ROWS = 40;

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open([]);
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

interface Row {
  slot: number;
  position: number;
}

/** Rows and a cache that holds NaN wherever no row may look. */
interface Case {
  shape: AttentionShape;
  rows: readonly Row[];
  scale: number;
  /** [R][heads][headDim] */
  query: Float32Array;
  /** [slot][context][kvHeads][headDim] */
  keys: Float32Array;
  values: Float32Array;
}

/** @param sharpness multiplies the queries: large scores */
function makeCase(shape: AttentionShape, rows: readonly Row[], sharpness = 1): Case {
  const { heads, kvHeads, headDim, context, window = Infinity } = shape;
  const random = randomSource(headDim * 1000 + context * 10 + heads);
  const width = kvHeads * headDim;
  const slots = Math.max(...rows.map(({ slot }) => slot)) + 1;
  const [keys, values] = [0, 1].map(() => normalNumbers(slots * context * width, random));
  for (let slot = 0; slot < slots; slot++) {
    const seeing = rows.filter((row) => row.slot === slot).map(({ position }) => position);
    for (let p = 0; p < context; p++) {
      if (seeing.some((position) => p <= position && p > position - window)) continue;
      const at = (slot * context + p) * width;
      for (const cache of [keys, values]) cache.fill(NaN, at, at + width);
    }
  }
  const query = normalNumbers(rows.length * heads * headDim, random, sharpness);
  return { shape, rows, scale: Math.fround(headDim ** -0.5), query, keys, values };
}

/** Rows at consecutive positions of a slot. */
function run(slot: number, first: number, count: number): Row[] {
  return Array.from({ length: count }, (_, i) => ({ slot, position: first + i }));
}

/** softmax(q k scale) v in f64, and what f32 may err by. */
function reference({ shape, rows, scale, query, keys, values }: Case): {
  expected: Float64Array;
  allowed: Float64Array;
} {
  const { heads, kvHeads, headDim, context, window = Infinity } = shape;
  const expected = new Float64Array(rows.length * heads * headDim);
  const allowed = new Float64Array(expected.length);
  for (const [r, { slot, position }] of rows.entries()) {
    const first = Math.max(0, position - window + 1);
    const visible = position + 1 - first;
    for (let h = 0; h < heads; h++) {
      const q = (r * heads + h) * headDim;
      const kvHead = Math.floor(h / (heads / kvHeads));
      const at = (p: number): number => ((slot * context + first + p) * kvHeads + kvHead) * headDim;
      let longest = 0;
      const scores = Float64Array.from({ length: visible }, (_, p) => {
        let [dot, kk] = [0, 0];
        for (let d = 0; d < headDim; d++) {
          dot += query[q + d] * keys[at(p) + d];
          kk += keys[at(p) + d] ** 2;
        }
        longest = Math.max(longest, Math.sqrt(kk));
        return dot * scale;
      });
      const largest = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const norm = Math.sqrt(query.subarray(q, q + headDim).reduce((sum, v) => sum + v * v, 0));
      // As of the CPU's kernels (attention.test.ts): a dot errs by 2 u sqrt(K) |q| |k|, a weight by twice that and some
      // ulps of its exponential and its rescaling, the sums by u sqrt(positions), relative to the largest value.
      const score = 2 * Math.sqrt(headDim) * norm * longest * scale;
      const relative = UNIT_ROUNDOFF * (2 * score + 2 * Math.sqrt(visible) + 16);
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

type Attend = (data: Case) => Promise<Float32Array>;

const decode: Attend = async ({ shape, rows, scale, query, keys, values }) => {
  const rowBuffer = lab.buffer(
    rowWords(MAX_ROWS, {
      slots: rows.map(({ slot }) => slot),
      positions: rows.map(({ position }) => position),
    }),
  );
  const partials = lab.buffer(attentionPartialWords(shape, rows.length));
  const output = lab.buffer(query.length);
  const length = Math.max(...rows.map(({ position }) => position)) + 1;
  await lab.run(
    attentionDecodeKernel(shape, MAX_ROWS),
    [
      ...[query, keys, values].map((data) => lab.buffer(data)),
      ...[partials, rowBuffer, lab.uniform(attentionParams(scale))],
    ],
    attentionDecodeWorkgroups(shape, rows.length, length),
  );
  await combine(shape, partials, output, rowBuffer, rows.length);
  await lab.readWords(partials); // finds writes behind it
  return lab.read(output);
};

function combine(
  shape: AttentionShape,
  partials: LabBuffer,
  output: LabBuffer,
  rows: LabBuffer,
  count: number,
): Promise<void> {
  const kernel = attentionCombineKernel(shape, MAX_ROWS);
  return lab.run(kernel, [partials, output, rows], attentionCombineWorkgroups(shape, count));
}

const block: Attend = async ({ shape, rows, scale, query, keys, values }) => {
  const tiles = attentionTiles(
    rows.map(({ slot }) => slot),
    rows.map(({ position }) => position),
    attentionTileRows(shape),
  );
  const output = lab.buffer(query.length);
  await lab.run(
    attentionBlockKernel(shape),
    [
      ...[query, keys, values].map((data) => lab.buffer(data)),
      ...[output, lab.buffer(tiles.words), lab.uniform(attentionParams(scale))],
    ],
    attentionBlockWorkgroups(shape, tiles.count),
  );
  return lab.read(output);
};

describe.each([
  ["decode", decode],
  ["block", block],
] as const)("%s", (_, attend) => {
  async function check(data: Case): Promise<void> {
    const { expected, allowed } = reference(data);
    const { ratio, text } = worstError(await attend(data), expected, (i) => allowed[i]);
    expect(ratio, text).toBeLessThanOrEqual(1);
  }

  test.each([4, 8, 12, 16, 64, 80, 128, 256])("heads of %i", async (headDim) => {
    await check(makeCase({ heads: 6, kvHeads: 2, headDim, context: 70 }, run(0, 61, 5)));
  });

  test.each([
    [2, 2],
    [8, 2],
    [3, 1],
    [10, 2],
    [7, 1],
    [9, 1],
    [66, 1],
  ])("%i heads, %i KV heads", async (heads, kvHeads) => {
    await check(makeCase({ heads, kvHeads, headDim: 8, context: 90 }, [...run(0, 3, 2), ...run(0, 66, 4)]));
  });

  test.each([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200])("%i positions", async (length) => {
    const shape = { heads: 4, kvHeads: 1, headDim: 16, context: 200 };
    const count = Math.min(length, 37);
    await check(makeCase(shape, run(0, length - count, count)));
  });

  test("rows of several slots, in any order of slots, at any positions", async () => {
    const rows = [...run(2, 0, 3), ...run(0, 40, 1), ...run(1, 79, 1), ...run(2, 3, 20), ...run(0, 70, 2)];
    await check(makeCase({ heads: 4, kvHeads: 2, headDim: 12, context: 80 }, rows));
  });

  test.each([30, 300, 3000])("scores of some %i", async (sharpness) => {
    await check(makeCase({ heads: 4, kvHeads: 2, headDim: 8, context: 150 }, run(0, 120, 30), sharpness));
  });

  test("more tiles than splits", async () => {
    const many = { heads: 64, kvHeads: 64, headDim: 4, context: 330 };
    expect(attentionSplits(many, 323)).toBe(8);
    await check(makeCase(many, [...run(0, 100, 1), ...run(0, 322, 1)]));
    const long = { heads: 8, kvHeads: 1, headDim: 8, context: 2200 };
    expect(attentionSplits(long, 2200)).toBe(128);
    await check(makeCase(long, run(0, 2198, 2)));
  });

  test.each([1, 2, 5, 32, 64, 100])("a window of %i positions", async (window) => {
    const shape = { heads: 6, kvHeads: 2, headDim: 8, context: 210, window };
    await check(makeCase(shape, [...run(0, 0, 3), ...run(1, 100, 2), ...run(0, 140, 29)]));
  });

  test("one position gives its value, exactly", async () => {
    const data = makeCase({ heads: 4, kvHeads: 2, headDim: 12, context: 3 }, run(0, 0, 1));
    const head = (h: number): number[] => [...data.values.subarray(h * 12, h * 12 + 12)];
    expect([...(await attend(data))]).toEqual([...head(0), ...head(0), ...head(1), ...head(1)]);
  });

  test("equal scores average", async () => {
    const data = makeCase({ heads: 2, kvHeads: 1, headDim: 8, context: 200 }, run(0, 150, 40));
    data.query.fill(0);
    await check(data);
  });

  test("scores that differ by more than f32 can tell leave the largest", async () => {
    const shape = { heads: 1, kvHeads: 1, headDim: 4, context: 100 };
    for (const best of [0, 40, 70, 99]) {
      const data = makeCase(shape, run(0, 99, 1));
      data.query.fill(1e18);
      data.keys.fill(-1e18).fill(1e18, best * 4, best * 4 + 4);
      expect(await attend(data)).toEqual(data.values.slice(best * 4, best * 4 + 4));
    }
  });

  test("NaN in a key or a value shows, in the head that sees it", async () => {
    for (const poison of ["keys", "values"] as const) {
      const data = makeCase({ heads: 4, kvHeads: 2, headDim: 8, context: 80 }, run(0, 75, 1));
      data[poison].fill(NaN, 40 * 16, 40 * 16 + 8);
      const output = await attend(data);
      expect(output.subarray(0, 16).every(Number.isNaN)).toBe(true);
      expect(output.subarray(16).some(Number.isNaN)).toBe(false);
    }
  });

  test("a row has the same bits whatever rows are beside it", async () => {
    const shape = { heads: 6, kvHeads: 2, headDim: 8, context: 170, window: 90 };
    const data = makeCase(shape, [...run(1, 7, 2), ...run(0, 120, 30)]);
    const width = shape.heads * shape.headDim;
    const all = await attend(data);
    for (const [first, end] of [
      [0, 1],
      [2, 3],
      [3, 20],
      [24, 32],
    ]) {
      const rows = data.rows.slice(first, end);
      const part = await attend({ ...data, rows, query: data.query.slice(first * width, end * width) });
      expect(part).toEqual(all.slice(first * width, end * width));
    }
  });
});

/** exp(x), x <= 0, as the weight of a split whose largest score is x below the other's; 32 at a time. */
async function exponentials(xs: readonly number[]): Promise<Float32Array> {
  const shape = { heads: xs.length, kvHeads: xs.length, headDim: 4, context: 64 };
  const maxSplits = attentionSplits(shape, 64);
  // Of 4 values, largest score, sum, two unused.
  const records = new Float32Array(attentionPartialWords(shape, 1));
  xs.forEach((x, i) => {
    records.set([0, 0, 0, 0, 0, 1, 0, 0], i * maxSplits * 8);
    records.set([1, 1, 1, 1, x, 0, 0, 0], i * maxSplits * 8 + 8);
  });
  const output = lab.buffer(xs.length * 4);
  const rows = lab.buffer(rowWords(MAX_ROWS, { slots: [0], positions: [63] }));
  await combine(shape, lab.buffer(records), output, rows, 1);
  return (await lab.read(output)).filter((_, i) => i % 4 === 0);
}

describe("exp", () => {
  test("is within 2 ULP", async () => {
    const xs = [...Float32Array.from({ length: 256 }, (_, i) => -(i * 87.3) / 256 - (i % 7) * 1e-3)];
    const expected = Float64Array.from(xs, Math.exp);
    const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(value)) - 23);
    const { ratio, text } = worstError(await exponentials(xs), expected, (i) => 2 * ulp(expected[i]));
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("at the ends", async () => {
    const found = await exponentials([0, -0, -88, -1000, -3e38, -Infinity]);
    expect([...found]).toEqual([1, 1, 0, 0, 0, 0]);
  });
});

describe("plans", () => {
  const smollm3 = { heads: 16, kvHeads: 4, headDim: 128, context: 65_536 };

  test("splits of a row: a tile each, until there are enough", () => {
    expect([1, 32, 33, 2048, 4096, 4097, 65_536].map((length) => attentionSplits(smollm3, length))).toEqual([
      1, 1, 2, 64, 128, 128, 128,
    ]);
    expect(attentionSplits({ ...smollm3, window: 100 }, 65_536)).toBe(4);
    let before = 0;
    for (let length = 1; length < 5000; length++) {
      const splits = attentionSplits({ ...smollm3, kvHeads: 8 }, length);
      expect(splits).toBeGreaterThanOrEqual(before);
      before = splits;
    }
  });

  test("workgroups", () => {
    expect(attentionDecodeWorkgroups(smollm3, 3, 100)).toEqual([4, 4, 3]);
    expect(attentionDecodeWorkgroups({ ...smollm3, kvHeads: 1 }, 1, 16)).toEqual([1, 2, 1]);
    expect(attentionCombineWorkgroups(smollm3, 3)).toEqual([16, 3]);
    expect(attentionBlockWorkgroups(smollm3, 32)).toEqual([32, 4]);
    expect(attentionBlockWorkgroups({ ...smollm3, heads: 130, kvHeads: 1 }, 5)).toEqual([5, 3]);
  });

  test("partials: a record of headDim + 4 words for each row, head and split", () => {
    expect(attentionPartialWords(smollm3, 16)).toBe(16 * 16 * 128 * 132);
    expect(attentionPartialWords({ ...smollm3, context: 100 }, 1)).toBe(16 * 4 * 132);
  });

  test("shapes that the kernels do not know are refused", () => {
    expect(() => attentionDecodeKernel({ ...smollm3, headDim: 130 }, 1)).toThrow(
      "must be a multiple of 4 up to 256; found 130",
    );
    expect(() => attentionBlockKernel({ ...smollm3, headDim: 260 })).toThrow("found 260");
    expect(() => attentionBlockKernel({ ...smollm3, kvHeads: 3 })).toThrow("heads (16)");
  });

  test.each([
    ["nothing", [], []],
    ["one run", run(0, 5, 3), [[0, 3, 0, 5]]],
    [
      "a run longer than a tile",
      run(1, 0, 9),
      [
        [0, 4, 1, 0],
        [4, 4, 1, 4],
        [8, 1, 1, 8],
      ],
    ],
    [
      "slots and gaps",
      [...run(0, 3, 1), ...run(1, 4, 2), ...run(1, 7, 1), ...run(1, 7, 1)],
      [
        [0, 1, 0, 3],
        [1, 2, 1, 4],
        [3, 1, 1, 7],
        [4, 1, 1, 7],
      ],
    ],
  ])("tiles of %s", (_, rows: readonly Row[], expected: readonly number[][]) => {
    const { count, words } = attentionTiles(
      rows.map(({ slot }) => slot),
      rows.map(({ position }) => position),
      4,
    );
    expect(count).toBe(expected.length);
    expect([...words]).toEqual(expected.flat());
    expect(words.length).toBeLessThanOrEqual(attentionTileWords(rows.length));
  });
});
