/** How attention of few rows is dealt to workgroups; the kernels are tested in decode.gpu.test.ts. */
import { describe, expect, test } from "vitest";
import type { AttentionShape } from "./attention.gpu.ts";
import {
  attentionDecodeWorkgroups,
  attentionCombineKernel,
  attentionDirectKernel,
  attentionPartialWords,
  attentionSplitKernel,
  attentionSplits,
  attentionSplitsRows,
  type DecodeAttentionVariant,
} from "./decode.gpu.ts";

const SMOLLM3 = { heads: 16, kvHeads: 4, headDim: 128, context: 65_536, cache: "f32" as const };
const PLAIN: DecodeAttentionVariant = {
  directPositions: 256,
  direct: { workgroup: 256, heads: 1, keyLanes: 8, keys: 4 },
  split: { workgroup: 256, heads: 4, keyLanes: 16, keys: 4 },
  mostSplits: 32,
  workgroups: 120,
  combineColumns: 8,
  workgroupMemory: 49_152,
};
const SUBGROUPS = { ...PLAIN, subgroups: { least: 32, most: 32 } };

const rowsOf = (count: number, shortest: number, longest = shortest) => ({ count, shortest, longest });

describe("splits of a row", () => {
  test("a tile each, until there are enough", () => {
    // A tile has 32 positions, four for each of 16 teams with subgroups.
    const splits = (variant: DecodeAttentionVariant) =>
      [257, 288, 289, 320, 321, 960, 961, 4096, 65_536].map((length) =>
        attentionSplits(SMOLLM3, variant, length),
      );
    expect(splits(PLAIN)).toEqual([9, 9, 10, 10, 11, 30, 30, 30, 30]);
    expect(splits(SUBGROUPS)).toEqual([5, 5, 5, 5, 6, 15, 16, 30, 30]);
  });

  test("no more than wanted in all, nor than wanted of a row", () => {
    expect(attentionSplits(SMOLLM3, SUBGROUPS, 65_536)).toBe(30); // 120 over 4 KV heads
    expect(attentionSplits({ ...SMOLLM3, kvHeads: 8 }, SUBGROUPS, 65_536)).toBe(15);
    expect(attentionSplits({ ...SMOLLM3, kvHeads: 1, heads: 4 }, SUBGROUPS, 65_536)).toBe(32);
  });

  test("a window's positions count, or an encoder's input", () => {
    expect(attentionSplits({ ...SMOLLM3, window: 300 }, SUBGROUPS, 65_536)).toBe(5);
    expect(attentionSplits({ ...SMOLLM3, source: true }, SUBGROUPS, 321)).toBe(6);
  });

  test("are never less for a longer row", () => {
    let before = 0;
    for (let length = 1; length < 5000; length++) {
      const splits = attentionSplits({ ...SMOLLM3, kvHeads: 8 }, SUBGROUPS, length);
      expect(splits).toBeGreaterThanOrEqual(before);
      before = splits;
    }
  });
});

describe("workgroups", () => {
  const all = (shape: AttentionShape, rows: ReturnType<typeof rowsOf>) => [
    attentionDecodeWorkgroups(shape, SUBGROUPS).direct(rows),
    attentionDecodeWorkgroups(shape, SUBGROUPS).split(rows),
    attentionDecodeWorkgroups(shape, SUBGROUPS).combine(rows),
  ];
  const launched = (shape: AttentionShape, rows: ReturnType<typeof rowsOf>) =>
    all(shape, rows).map((counts) => counts.every((count) => count > 0));

  test("of short rows: those that write the output, and no more", () => {
    expect(all(SMOLLM3, rowsOf(1, 256))).toEqual([
      [1, 16, 1],
      [0, 4, 1],
      [0, 4, 1],
    ]);
    expect(launched(SMOLLM3, rowsOf(3, 1, 256))).toEqual([true, false, false]);
  });

  test("of long rows: splits, and what merges them", () => {
    expect(all(SMOLLM3, rowsOf(2, 257, 4096))).toEqual([
      [0, 16, 2],
      [30, 4, 2],
      [16, 4, 2],
    ]);
  });

  test("of rows of both kinds: all", () => {
    expect(launched(SMOLLM3, rowsOf(2, 256, 257))).toEqual([true, true, true]);
  });

  test("of rows that see a window: by what they see", () => {
    expect(launched({ ...SMOLLM3, window: 256 }, rowsOf(2, 4000, 5000))).toEqual([true, false, false]);
    expect(launched({ ...SMOLLM3, window: 257 }, rowsOf(2, 4000, 5000))).toEqual([false, true, true]);
  });

  test("heads of a group that do not divide are dealt evenly", () => {
    const shape = { ...SMOLLM3, heads: 9, kvHeads: 1 };
    expect(attentionDecodeWorkgroups(shape, SUBGROUPS).split(rowsOf(1, 300))[1]).toBe(3);
    expect(attentionSplitKernel(shape, SUBGROUPS, 1).constants).toMatchObject({ TILE_HEADS: 3 });
    expect(
      attentionDecodeWorkgroups(shape, { ...PLAIN, split: { ...PLAIN.split, heads: 8 } }).split(
        rowsOf(1, 300),
      )[1],
    ).toBe(2);
  });
});

test("partials: a record of headDim + 4 words for each row, head and split, where there can be any", () => {
  expect(attentionPartialWords(SMOLLM3, SUBGROUPS, 16)).toBe(16 * 16 * 30 * 132);
  expect(attentionPartialWords({ ...SMOLLM3, context: 300 }, SUBGROUPS, 1)).toBe(16 * 5 * 132);
  for (const shape of [
    { ...SMOLLM3, context: 256 },
    { ...SMOLLM3, window: 256 },
  ]) {
    expect(attentionSplitsRows(shape, SUBGROUPS)).toBe(false);
    expect(attentionPartialWords(shape, SUBGROUPS, 16)).toBe(0);
  }
  expect(attentionSplitsRows({ ...SMOLLM3, context: 257 }, SUBGROUPS)).toBe(true);
  expect(attentionSplitsRows({ ...SMOLLM3, context: 1 }, { ...SUBGROUPS, directPositions: 0 })).toBe(true);
});

describe("kernels with subgroups", () => {
  const constants = (
    shape: Partial<AttentionShape> = {},
    variant: Partial<DecodeAttentionVariant> = {},
  ): Record<string, unknown> =>
    attentionSplitKernel({ ...SMOLLM3, ...shape }, { ...SUBGROUPS, ...variant }, 1).constants;

  test("have the sizes of the variant", () => {
    expect(constants()).toMatchObject({
      WORKGROUP: 256,
      TILE_HEADS: 4,
      KEY_LANES: 16,
      TILE: 64,
      LEAST_SUBGROUP: 32,
    });
    const direct = attentionDirectKernel(SMOLLM3, SUBGROUPS, 1);
    expect(direct.constants).toMatchObject({
      WORKGROUP: 256,
      TILE_HEADS: 1,
      KEY_LANES: 8,
      TILE: 128,
      MAX_SPLITS: 1,
    });
  });

  test("keep to the smallest subgroups, and whole ones of the largest", () => {
    expect(constants({}, { subgroups: { least: 8, most: 32 } })).toMatchObject({
      KEY_LANES: 8,
      LEAST_SUBGROUP: 8,
    });
    const small = { split: { ...SUBGROUPS.split, workgroup: 16 } };
    expect(constants({}, { ...small, subgroups: { least: 4, most: 128 } })).toMatchObject({ WORKGROUP: 128 });
  });

  test.each([4, 12, 16, 64, 80, 96, 112, 128, 192, 256])(
    "of heads of %i numbers: lanes divide the columns, registers and memory are bounded",
    (headDim) => {
      for (const [least, most] of [
        [4, 4],
        [4, 64],
        [8, 32],
        [32, 32],
        [32, 128],
      ]) {
        for (const workgroupMemory of [16_384, 49_152]) {
          const { source, constants } = attentionSplitKernel(
            { ...SMOLLM3, headDim },
            { ...SUBGROUPS, subgroups: { least, most }, workgroupMemory },
            1,
          );
          if (source === "attention/decode.wgsl") {
            // Not even one head of whole subgroups has the memory.
            expect((most / least) * (headDim + 2) * 4).toBeGreaterThan(workgroupMemory);
            continue;
          }
          const { WORKGROUP, TILE_HEADS, KEY_LANES, TILE } = constants as Record<string, number>;
          expect(WORKGROUP % most).toBe(0);
          expect(KEY_LANES).toBeLessThanOrEqual(least);
          const laneColumns = headDim / 4 / KEY_LANES;
          expect(laneColumns % 1).toBe(0);
          const keys = (TILE * KEY_LANES) / WORKGROUP;
          expect(keys % 1).toBe(0);
          expect(keys).toBeGreaterThan(0);
          for (const registers of [keys * laneColumns, TILE_HEADS * laneColumns]) {
            expect(registers).toBeLessThanOrEqual(Math.max(16, laneColumns));
          }
          expect((WORKGROUP / least) * TILE_HEADS * (headDim + 2) * 4).toBeLessThanOrEqual(workgroupMemory);
        }
      }
    },
  );

  test("are those without where there are none", () => {
    const { source } = attentionDirectKernel(SMOLLM3, SUBGROUPS, 1);
    expect(source).toBe("attention/decode-subgroups.wgsl");
    expect(attentionDirectKernel(SMOLLM3, PLAIN, 1).source).toBe("attention/decode.wgsl");
  });
});

test("what merges the splits has an invocation for each of their columns, within reason", () => {
  const sizes = (headDim: number, mostSplits: number) => {
    const shape = { ...SMOLLM3, headDim };
    return attentionCombineKernel(shape, { ...SUBGROUPS, mostSplits }, 1).constants;
  };
  expect(sizes(128, 30)).toMatchObject({ WORKGROUP: 256, COLUMNS_AT_ONCE: 8, TILE: 64, MAX_SPLITS: 30 });
  expect(sizes(128, 9)).toMatchObject({ WORKGROUP: 128 });
  expect(sizes(4, 2)).toMatchObject({ WORKGROUP: 32, COLUMNS_AT_ONCE: 1 });
});

test("shapes that the kernels do not know are refused", () => {
  for (const kernel of [attentionDirectKernel, attentionSplitKernel]) {
    expect(() => kernel({ ...SMOLLM3, headDim: 130 }, PLAIN, 1)).toThrow(
      "must be a multiple of 4 up to 256; found 130",
    );
    expect(() => kernel({ ...SMOLLM3, kvHeads: 3 }, PLAIN, 1)).toThrow("heads (16)");
  }
});
