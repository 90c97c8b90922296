/**
 * Tests of the kernels for few rows: decode.wgsl, decode-subgroups.wgsl and combine.wgsl. decode.gpu.long.test.ts has more
 * sizes.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  attentionContract,
  checkAttention,
  makeCase,
  run,
  type Attend,
} from "../../../test/support/attention-contract.ts";
import { attendFew, MAX_ROWS, subgroupsOf } from "../../../test/support/attend-few.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import {
  attentionCombineKernel,
  attentionDirectKernel,
  attentionPartialWords,
  attentionSplitKernel,
  attentionDecodeWorkgroups,
  attentionSplits,
  type DecodeAttentionVariant,
} from "./decode.gpu.ts";

/** Rows beside each other are done in both ways. */
const PLAIN: DecodeAttentionVariant = {
  directPositions: 50,
  direct: { workgroup: 128, heads: 2, keyLanes: 8, keys: 1 },
  split: { workgroup: 128, heads: 8, keyLanes: 8, keys: 1 },
  mostSplits: 4,
  workgroups: 512,
  combineColumns: 8,
  workgroupMemory: 16_384,
};
/** Subgroups of several teams, or of one; several subgroups a workgroup. */
const TEAMS = {
  ...PLAIN,
  direct: { workgroup: 16, heads: 2, keyLanes: 2, keys: 4 },
  split: { workgroup: 32, heads: 4, keyLanes: 4, keys: 1 },
};

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const without: Attend = (data) => attendFew(lab, PLAIN)(data);
const withSubgroups: Attend = (data) => attendFew(lab, { ...TEAMS, subgroups: subgroupsOf(lab) })(data);

const SHAPES: [number, number, number][] = [
  [1, 1, 4],
  [2, 2, 16],
  [8, 2, 64],
  [7, 1, 80],
  [9, 1, 12], // more heads than a workgroup takes
  [4, 1, 128],
  [2, 1, 256],
];

describe("without subgroups", () => {
  attentionContract(without, SHAPES, "f32");
});

describe.each(["f32", "f16"] as const)("with subgroups, a cache of %s", (cache) => {
  // What a cache of f16 reads otherwise does not depend on the number of heads.
  attentionContract(withSubgroups, cache === "f32" ? SHAPES : SHAPES.slice(2, 4), cache);
});

test.each([
  [8, 2, 64],
  [7, 1, 80],
])("without subgroups, a cache of f16: %i heads, %i KV heads of %i", async (heads, kvHeads, headDim) => {
  const shape = { heads, kvHeads, headDim, context: 210, cache: "f16" } as const;
  await checkAttention(without, makeCase(shape, [...run(0, 3, 2), ...run(0, 48, 4)]));
});

// Host and kernels must agree on which rows are done directly: else nobody does this one.
test.each([50, 51])("a row of %i positions by itself", async (length) => {
  const shape = { heads: 6, kvHeads: 2, headDim: 8, context: 210, cache: "f32" } as const;
  for (const attend of [without, withSubgroups]) {
    await checkAttention(attend, makeCase(shape, run(0, length - 1, 1)));
    await checkAttention(attend, makeCase({ ...shape, window: length }, run(0, 120, 1)));
  }
});

test("the adapter's subgroups are used", () => {
  const shape = { heads: 6, kvHeads: 2, headDim: 8, context: 210, cache: "f32" } as const;
  const variant = { ...TEAMS, subgroups: subgroupsOf(lab) };
  for (const kernel of [attentionDirectKernel, attentionSplitKernel]) {
    expect(kernel(shape, variant, MAX_ROWS).source).toBe("attention/decode-subgroups.wgsl");
  }
});

test.each([
  [
    { heads: 64, kvHeads: 64, headDim: 4, context: 700, cache: "f32" as const },
    [...run(0, 100, 1), ...run(0, 622, 1)],
    8,
  ],
  [{ heads: 8, kvHeads: 1, headDim: 8, context: 2200, cache: "f32" as const }, run(0, 2198, 2), 128],
  // More splits than are merged at once, and a row with fewer.
  [
    { heads: 2, kvHeads: 1, headDim: 32, context: 2200, cache: "f32" as const },
    [...run(0, 2199, 1), ...run(0, 1100, 1)],
    35,
  ],
])("more tiles than splits: %o", async (shape, rows, splits) => {
  const variant = { ...PLAIN, mostSplits: 128 };
  expect(attentionSplits(shape, variant, shape.context)).toBe(splits);
  await checkAttention(attendFew(lab, variant), makeCase(shape, rows));
});

describe("exp", () => {
  /** exp(x), x <= 0, of at most 256 numbers: as the weight of a split whose largest score is x below the other's. */
  async function exponentials(xs: Float32Array): Promise<Float32Array> {
    const shape = { heads: 256, kvHeads: 256, headDim: 4, context: 128, cache: "f32" as const };
    const variant = { ...PLAIN, directPositions: 0 };
    const splits = attentionSplits(shape, variant, 128); // 2
    // A record has 4 values, the largest score, the sum and two unused numbers.
    const records = new Float32Array(attentionPartialWords(shape, variant, 1));
    xs.forEach((x, i) => {
      records.set([0, 0, 0, 0, 0, 1, 0, 0], i * splits * 8);
      records.set([1, 1, 1, 1, x, 0, 0, 0], i * splits * 8 + 8);
    });
    const output = lab.buffer(256 * 4);
    const rows = lab.buffer(rowWords(MAX_ROWS, { slots: [0], positions: [127] }));
    const pass = { count: 1, shortest: 128, longest: 128 };
    await lab.run(
      attentionCombineKernel(shape, variant, MAX_ROWS),
      [lab.buffer(records), output, rows],
      attentionDecodeWorkgroups(shape, variant).combine(pass),
    );
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
