/** How blocks of rows are dealt to workgroups; the kernel is tested in block.gpu.test.ts. */
import { describe, expect, test } from "vitest";
import { run, type Row } from "../../../test/support/attention-contract.ts";
import {
  attentionBlockKernel,
  attentionBlockWorkgroups,
  attentionTiles,
  attentionTileWords,
} from "./attention.gpu.ts";

describe("plans", () => {
  const smollm3 = { heads: 16, kvHeads: 4, headDim: 128, context: 65_536, cache: "f32" as const };

  test("workgroups", () => {
    expect(attentionBlockWorkgroups(smollm3, 32)).toEqual([32, 4]);
    expect(attentionBlockWorkgroups({ ...smollm3, heads: 130, kvHeads: 1 }, 5)).toEqual([5, 3]);
  });

  test("shapes that the kernels do not know are refused", () => {
    expect(() => attentionBlockKernel({ ...smollm3, headDim: 130 }, 1)).toThrow(
      "must be a multiple of 4 up to 256; found 130",
    );
    expect(() => attentionBlockKernel({ ...smollm3, headDim: 260 }, 1)).toThrow("found 260");
    expect(() => attentionBlockKernel({ ...smollm3, kvHeads: 3 }, 1)).toThrow("heads (16)");
    expect(() => attentionBlockKernel({ ...smollm3, source: true, window: 8 }, 1)).toThrow("a window of 8");
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
