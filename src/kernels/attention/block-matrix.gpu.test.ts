import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  attentionContract,
  checkAttention,
  makeCase,
  run,
  type Attend,
  vectorsOf,
} from "../../../test/support/attention-contract.ts";
import { cacheBuffer } from "../../../test/support/gpu-cache.ts";
import { expectValid, openNullGpu } from "../../../test/support/null-gpu.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { nearestF16, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { attentionParams, attentionTiles, readsVectors, type AttentionShape } from "./attention.gpu.ts";
import {
  attentionMatrixKernel,
  attentionMatrixMemory,
  attentionMatrixTileRows,
  attentionMatrixWorkgroups,
  isWhole,
  type AttentionTiling,
} from "./block-matrix.gpu.ts";

const MAX_ROWS = 60;

/** Software adapters compile every matrix that a kernel names: most tests have one of each kind. */
const TINY: AttentionTiling = {
  matrixRows: 8,
  matrixColumns: 4,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 1,
  subgroupColumns: 2,
  queries: 8,
  keys: 8,
  scorePadding: 4,
  prefetch: true,
};
/** Several matrices of keys and columns; heads of 24 have three of the latter in two rounds. */
const WIDE: AttentionTiling = { ...TINY, matrixRows: 4, subgroupRows: 2, keys: 16, prefetch: false };
/** Several matrices of queries, more than the memory of keys and values holds at once; one invocation a query. */
const TALL: AttentionTiling = { ...TINY, subgroupRows: 2, queries: 32 };

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

const attendBy =
  (tiling: AttentionTiling, tileRows?: number): Attend =>
  async (data) => {
    const { shape, rows, sourceLength, scale, cap, query, keys, values } = data;
    const { vectors, offsets } = vectorsOf(data);
    const tiles = attentionTiles(
      rows.map(({ slot }) => slot),
      rows.map(({ position }) => position),
      tileRows ?? attentionMatrixTileRows(shape, tiling),
    );
    const output = lab.buffer(query.length);
    const positions = rows.map(({ position }) => position);
    const rowBuffer = lab.buffer(rowWords(MAX_ROWS, { positions, sourceLength }));
    await lab.run(
      attentionMatrixKernel(shape, MAX_ROWS, tiling, true),
      [
        lab.buffer(query),
        ...[keys, values].map((numbers) => cacheBuffer(lab, numbers, shape.cache)),
        output,
        lab.buffer(tiles.words),
        ...(shape.source === true ? [rowBuffer] : []),
        ...(readsVectors(shape) ? [lab.buffer(vectors)] : []),
        lab.uniform(attentionParams(scale, { cap, ...offsets })),
      ],
      attentionMatrixWorkgroups(shape, tiling, tiles.count),
    );
    return lab.read(output);
  };

const base: AttentionShape = { heads: 6, kvHeads: 2, headDim: 8, context: 210, cache: "f32" };

describe("around emulated matrices", () => {
  attentionContract(attendBy(TINY), [[11, 1, 8]], "f32", "f16");

  test("subgroups down and across, the output in rounds, rescaled by large scores", async () => {
    const shape: AttentionShape = { ...base, heads: 4, headDim: 24 };
    const rows = [...run(0, 0, 3), ...run(0, 66, 20)];
    for (const sharpness of [1, 30]) {
      await checkAttention(attendBy(WIDE), makeCase(shape, rows, sharpness, 0, "f16"), "f16");
    }
  });

  test("a cache of f16, heads that the queries of a workgroup are no multiple of, queries in slices", async () => {
    const shape: AttentionShape = { ...base, heads: 7, kvHeads: 1, headDim: 16, cache: "f16" };
    await checkAttention(
      attendBy(TALL),
      makeCase(shape, [...run(0, 3, 2), ...run(1, 66, 9)], 1, 0, "f16"),
      "f16",
    );
  });

  test("a window that begins with a tile for the last row only", async () => {
    await checkAttention(
      attendBy(TINY),
      makeCase({ ...base, window: 100 }, run(0, 107, 6), 1, 0, "f16"),
      "f16",
    );
  });

  test("how rows are cut into tiles does not matter", async () => {
    const data = makeCase(base, run(0, 100, 50));
    const expected = await attendBy(TINY)(data);
    expect(await attendBy(TINY, 1)(data)).toEqual(expected);
  });

  test("numbers between those of f16 give what the nearest give, nearly", async () => {
    const data = makeCase(base, run(0, 60, 20));
    const rounded = { ...data, keys: data.keys.map(nearestF16), values: data.values.map(nearestF16) };
    const { ratio, text } = worstError(
      await attendBy(TINY)(data),
      await attendBy(TINY)(rounded),
      () => 2 ** -8,
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("what f16 cannot hold", async () => {
    // Scores of ± 1, 2, … · 2^100, of queries far beyond f16 and keys far below 1.
    const data = makeCase(base, run(0, 40, 10), 1, 0, "f16");
    const huge = { ...data, query: data.query.map((x) => x * 2 ** 60), scale: data.scale * 2 ** -60 };
    expect(await attendBy(TINY)(huge)).toEqual(await attendBy(TINY)(data));
    const tiny = { ...data, query: data.query.map((x) => x * 2 ** -60), scale: data.scale * 2 ** 60 };
    expect(await attendBy(TINY)(tiny)).toEqual(await attendBy(TINY)(data));
    // Keys and values of an f32 cache saturate.
    for (const name of ["keys", "values"] as const) {
      const saturated = {
        ...data,
        [name]: data[name].map((x) => Math.sign(x) * (Math.abs(x) > 0.5 ? 65504 : 1)),
      };
      const beyond = { ...saturated, [name]: saturated[name].map((x) => (Math.abs(x) > 1 ? x * 1e30 : x)) };
      const output = await attendBy(TINY)(beyond);
      expect(output.every(Number.isFinite)).toBe(true);
      expect(output).toEqual(await attendBy(TINY)(saturated));
    }
  });

  test("a query with NaN or an infinity gives NaN, the others what they gave", async () => {
    const data = makeCase(base, run(0, 40, 10), 1, 0, "f16");
    const expected = await attendBy(TINY)(data);
    for (const bad of [NaN, Infinity, -Infinity]) {
      const query = data.query.slice();
      query[8 * 13 + 5] = bad;
      const output = await attendBy(TINY)({ ...data, query });
      expect(output.subarray(8 * 13, 8 * 14).every(Number.isNaN)).toBe(true);
      output.copyWithin(8 * 13, 8 * 12, 8 * 13);
      expected.copyWithin(8 * 13, 8 * 12, 8 * 13);
      expect(output).toEqual(expected);
    }
  });
});

/** What adapters with matrix units offer, for a driver that takes any WGSL and computes nothing. */
describe("with subgroup matrices, as Dawn validates them", () => {
  // The null device has subgroups of up to 128, workgroups of 256 and 16 KiB of workgroup memory.
  const common = { subgroupSize: 128, matrixRows: 16, matrixK: 16, scorePadding: 8 };
  const square: AttentionTiling = {
    ...common,
    matrixColumns: 16,
    subgroupRows: 2,
    subgroupColumns: 1,
    queries: 64,
    keys: 16,
    prefetch: true,
  };
  const narrow: AttentionTiling = {
    ...common,
    matrixColumns: 8,
    subgroupRows: 1,
    subgroupColumns: 2,
    queries: 32,
    keys: 32,
    prefetch: false,
  };

  test.each([
    ["16 × 16 × 16", square],
    ["16 × 8 × 16", narrow],
  ])("%s", async (_, tiling) => {
    const { device } = await openNullGpu();
    const headsOf32: AttentionShape = { ...base, heads: 4, headDim: 32 };
    for (const shape of [
      headsOf32,
      { ...headsOf32, heads: 14, cache: "f16" },
      { ...headsOf32, window: 100, isCapped: true },
      { ...headsOf32, cache: "f16", source: true },
      { ...headsOf32, hasSinks: true },
    ] satisfies AttentionShape[]) {
      await expectValid(device, attentionMatrixKernel(shape, MAX_ROWS, tiling));
    }
    device.destroy();
  });
});

test("what a tiling divides, and the workgroup memory that Dawn counts", () => {
  const shape: AttentionShape = { heads: 16, kvHeads: 4, headDim: 128, context: 4096, cache: "f32" };
  const tiling: AttentionTiling = {
    matrixRows: 16,
    matrixColumns: 16,
    matrixK: 16,
    subgroupSize: 32,
    subgroupRows: 4,
    subgroupColumns: 2,
    queries: 64,
    keys: 32,
    scorePadding: 8,
    prefetch: true,
  };
  expect(attentionMatrixMemory(shape, tiling)).toBe(33_808);
  expect(attentionMatrixMemory(shape, { ...tiling, queries: 128 })).toBe(49_168);
  expect(attentionMatrixMemory({ ...shape, headDim: 16 }, { ...tiling, queries: 128, keys: 16 })).toBe(
    128 * 6 * 8 + 128 * 24 * 4 + 128 * 6 * 8 + 1040,
  );
  expect(attentionMatrixTileRows(shape, tiling)).toBe(16);
  expect(attentionMatrixTileRows({ ...shape, heads: 7, kvHeads: 1 }, tiling)).toBe(9);
  expect(attentionMatrixWorkgroups(shape, tiling, 5)).toEqual([4, 5]);
  expect(attentionMatrixWorkgroups({ ...shape, heads: 130, kvHeads: 1 }, tiling, 5)).toEqual([3, 5]);
  expect(isWhole(shape, tiling)).toBe(true);
  for (const [headDim, parts] of [
    [80, {}],
    [120, { subgroupColumns: 1 }],
    [128, { queries: 96 }],
    [128, { keys: 48 }],
    [128, { keys: 16 }],
    [128, { subgroupRows: 8 }],
    [128, { matrixK: 24 }],
  ] as const) {
    expect(isWhole({ ...shape, headDim }, { ...tiling, ...parts }), JSON.stringify([headDim, parts])).toBe(
      false,
    );
  }
  expect(() => attentionMatrixKernel({ ...shape, headDim: 80 }, 1, tiling)).toThrow("heads of 80");
});
