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
import type { KernelSpec } from "../wgsl/kernel.ts";
import { attentionParams, type AttentionShape } from "./attention.gpu.ts";
import {
  attentionCombineKernel,
  attentionCombineWorkgroups,
  attentionDirectKernel,
  attentionDirectWorkgroups,
  attentionPartialWords,
  attentionSplitKernel,
  attentionSplits,
  attentionSplitsRows,
  attentionSplitWorkgroups,
  type DecodeAttentionVariant,
  type DecodeRows,
} from "./decode.gpu.ts";

const MAX_ROWS = 40;

const PLAIN: DecodeAttentionVariant = {
  directPositions: 100,
  direct: { workgroup: 128, heads: 2, keyLanes: 8, keys: 1 },
  split: { workgroup: 128, heads: 8, keyLanes: 8, keys: 1 },
  mostSplits: 128,
  workgroups: 512,
  combineColumns: 8,
  workgroupMemory: 16_384,
};

let lab: GpuLab;
let subgroups: NonNullable<DecodeAttentionVariant["subgroups"]>;
beforeAll(async () => {
  lab = await GpuLab.open();
  const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = lab.device.adapterInfo;
  subgroups = { least, most };
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const attendBy =
  (variant: DecodeAttentionVariant): Attend =>
  async ({ shape, rows, sourceLength, scale, cap, query, keys, values }) => {
    const rowBuffer = lab.buffer(
      rowWords(MAX_ROWS, {
        slots: rows.map(({ slot }) => slot),
        positions: rows.map(({ position }) => position),
        sourceLength,
      }),
    );
    const partials = lab.buffer(Math.max(1, attentionPartialWords(shape, variant, rows.length)));
    const output = lab.buffer(query.length);
    const inputs = [
      lab.buffer(query),
      ...[keys, values].map((numbers) => cacheBuffer(lab, numbers, shape.cache)),
    ];
    const params = lab.uniform(attentionParams(scale, cap));
    const lengths = shape.source === true ? [sourceLength] : rows.map(({ position }) => position + 1);
    const pass = { count: rows.length, shortest: Math.min(...lengths), longest: Math.max(...lengths) };
    await launch(
      attentionDirectKernel(shape, variant, MAX_ROWS),
      [...inputs, output, rowBuffer, params],
      attentionDirectWorkgroups(shape, variant, pass),
    );
    if (attentionSplitsRows(shape, variant)) {
      await launch(
        attentionSplitKernel(shape, variant, MAX_ROWS),
        [...inputs, partials, rowBuffer, params],
        attentionSplitWorkgroups(shape, variant, pass),
      );
      await combine(shape, variant, [partials, output, rowBuffer], pass);
    }
    await lab.readWords(partials); // finds writes behind it
    return lab.read(output);
  };

/** Runs a kernel if it has something to do. */
async function launch(
  kernel: KernelSpec,
  buffers: readonly LabBuffer[],
  workgroups: readonly [number, number, number],
): Promise<void> {
  if (workgroups.every((count) => count > 0)) {
    await lab.run(kernel, buffers, workgroups);
  }
}

function combine(
  shape: AttentionShape,
  variant: DecodeAttentionVariant,
  buffers: readonly LabBuffer[],
  pass: DecodeRows,
): Promise<void> {
  return launch(
    attentionCombineKernel(shape, variant, MAX_ROWS),
    buffers,
    attentionCombineWorkgroups(shape, variant, pass),
  );
}

/** Rows beside each other are of both kinds. */
const MIXED = { ...PLAIN, mostSplits: 4, directPositions: 100 };
const TEAMS = {
  ...MIXED,
  direct: { workgroup: 16, heads: 1, keyLanes: 2, keys: 4 },
  split: { workgroup: 32, heads: 4, keyLanes: 4, keys: 1 },
};
const withSubgroups =
  (variant: DecodeAttentionVariant): Attend =>
  (data) =>
    attendBy({ ...variant, subgroups })(data);

const SHAPES: [number, number, number][] = [
  [1, 1, 4],
  [2, 2, 16],
  [8, 2, 64],
  [7, 1, 80],
  [9, 1, 12], // more heads than a workgroup takes
  [4, 1, 128],
  [2, 1, 256],
];

describe.each(["f32", "f16"] as const)("a cache of %s", (cache) => {
  describe("without subgroups", () => {
    attentionContract(attendBy(MIXED), SHAPES, cache);
  });
  describe("with subgroups", () => {
    attentionContract(withSubgroups(TEAMS), SHAPES, cache);
  });
});

/** Splits of the longest row of a shape. */
test.each([
  [
    { heads: 64, kvHeads: 64, headDim: 4, context: 700, cache: "f32" as const },
    [...run(0, 100, 1), ...run(0, 622, 1)],
    { ...PLAIN, workgroups: 512 },
    8,
  ],
  [
    { heads: 8, kvHeads: 1, headDim: 8, context: 2200, cache: "f32" as const },
    run(0, 2198, 2),
    { ...PLAIN, mostSplits: 128 },
    128,
  ],
])("more tiles than splits: %o", async (shape, rows, variant, splits) => {
  expect(attentionSplits(shape, variant, shape.context)).toBe(splits);
  await checkAttention(attendBy(variant), makeCase(shape, rows));
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
    await combine(shape, variant, [lab.buffer(records), output, rows], pass);
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
