/** Tests of both kernels for few rows: decode.wgsl and combine.wgsl. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  attentionContract,
  checkAttention,
  makeCase,
  run,
  type Attend,
} from "../../../test/support/attention-contract.ts";
import { cacheBuffer } from "../../../test/support/gpu-cache.ts";
import { GpuLab, type LabBuffer } from "../../../test/support/gpu-lab.ts";
import { worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import {
  attentionCombineKernel,
  attentionCombineWorkgroups,
  attentionDecodeKernel,
  attentionDecodeWorkgroups,
  attentionParams,
  attentionPartialWords,
  attentionSplits,
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

const attend: Attend = async ({ shape, rows, sourceLength, scale, cap, query, keys, values }) => {
  const rowBuffer = lab.buffer(
    rowWords(MAX_ROWS, {
      slots: rows.map(({ slot }) => slot),
      positions: rows.map(({ position }) => position),
      sourceLength,
    }),
  );
  const partials = lab.buffer(attentionPartialWords(shape, rows.length));
  const output = lab.buffer(query.length);
  const longest = Math.max(...rows.map(({ position }) => position)) + 1;
  const length = shape.source === true ? sourceLength : longest;
  await lab.run(
    attentionDecodeKernel(shape, MAX_ROWS),
    [
      lab.buffer(query),
      ...[keys, values].map((numbers) => cacheBuffer(lab, numbers, shape.cache)),
      partials,
      rowBuffer,
      lab.uniform(attentionParams(scale, cap)),
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

describe.each(["f32", "f16"] as const)("a cache of %s", (cache) => {
  attentionContract(
    attend,
    [
      [1, 1, 4],
      [2, 2, 16],
      [8, 2, 64],
      [7, 1, 80],
      [9, 1, 12], // more heads than a workgroup takes
      [4, 1, 128],
      [2, 1, 256],
    ],
    cache,
  );
});

test.each([
  [
    { heads: 64, kvHeads: 64, headDim: 4, context: 700, cache: "f32" as const },
    [...run(0, 100, 1), ...run(0, 622, 1)],
    8,
  ],
  [{ heads: 8, kvHeads: 1, headDim: 8, context: 2200, cache: "f32" as const }, run(0, 2198, 2), 128],
])("more tiles than splits: %o", async (shape, rows, splits) => {
  expect(attentionSplits(shape, shape.context)).toBe(splits);
  await checkAttention(attend, makeCase(shape, rows));
});

describe("exp", () => {
  /** exp(x), x <= 0, of at most 256 numbers: as the weight of a split whose largest score is x below the other's. */
  async function exponentials(xs: Float32Array): Promise<Float32Array> {
    const shape = { heads: 256, kvHeads: 256, headDim: 4, context: 128, cache: "f32" as const };
    const splits = attentionSplits(shape, 128); // 2
    // A record has 4 values, the largest score, the sum and two unused numbers.
    const records = new Float32Array(attentionPartialWords(shape, 1));
    xs.forEach((x, i) => {
      records.set([0, 0, 0, 0, 0, 1, 0, 0], i * splits * 8);
      records.set([1, 1, 1, 1, x, 0, 0, 0], i * splits * 8 + 8);
    });
    const output = lab.buffer(256 * 4);
    const rows = lab.buffer(rowWords(MAX_ROWS, { slots: [0], positions: [127] }));
    await combine(shape, lab.buffer(records), output, rows, 1);
    return (await lab.read(output)).filter((_, i) => i % 4 === 0).slice(0, xs.length);
  }

  test("is within 2 ULP", async () => {
    for (let part = 0; part < 10; part++) {
      const xs = Float32Array.from({ length: 256 }, (_, i) => -((i + part / 10) * 87.3) / 256);
      const expected = Float64Array.from(xs, Math.exp);
      const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(value)) - 23);
      const { ratio, text } = worstError(await exponentials(xs), expected, (i) => 2 * ulp(expected[i]));
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test("at the ends", async () => {
    const found = await exponentials(Float32Array.of(0, -0, -88, -1000, -3e38, -Infinity));
    expect([...found]).toEqual([1, 1, 0, 0, 0, 0]);
  });
});
