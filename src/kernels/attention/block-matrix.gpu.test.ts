import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { attentionContract, makeCase, run, type Attend } from "../../../test/support/attention-contract.ts";
import { cacheBuffer } from "../../../test/support/gpu-cache.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { openGpu } from "../../runtime/platform/gpu.ts";
import { shaderCode } from "../wgsl/kernel.ts";
import { attentionParams, attentionTiles, type AttentionShape } from "./attention.gpu.ts";
import {
  attentionMatrixKernel,
  attentionMatrixMemory,
  attentionMatrixTileRows,
  attentionMatrixWorkgroups,
  isWhole,
  type AttentionTiling,
} from "./block-matrix.gpu.ts";

const MAX_ROWS = 60;

/** Small, since software adapters compile every matrix: two subgroups down and across, two invocations a query. */
const SMALL: AttentionTiling = {
  matrixRows: 4,
  matrixColumns: 4,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 2,
  subgroupColumns: 2,
  queries: 16,
  keys: 16,
  scorePadding: 4,
};

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
  async ({ shape, rows, sourceLength, scale, cap, query, keys, values }) => {
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
        lab.uniform(attentionParams(scale, cap)),
      ],
      attentionMatrixWorkgroups(shape, tiling, tiles.count),
    );
    return lab.read(output);
  };

describe.each(["f32", "f16"] as const)("a cache of %s", (cache) => {
  attentionContract(
    attendBy(SMALL),
    [
      [2, 2, 16],
      [8, 2, 32],
      [7, 1, 24],
    ],
    cache,
    "f16",
  );
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
  };
  const narrow: AttentionTiling = {
    ...common,
    matrixColumns: 8,
    subgroupRows: 1,
    subgroupColumns: 2,
    queries: 32,
    keys: 32,
  };

  test.each([
    ["16 × 16 × 16", square],
    ["16 × 8 × 16", narrow],
  ])("%s", async (_, tiling) => {
    const gpu = await openGpu(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = (await gpu.requestAdapter())!;
    const device = await adapter.requestDevice({
      requiredFeatures: [
        "shader-f16",
        "subgroups",
        "chromium-experimental-subgroup-matrix" as GPUFeatureName,
      ],
    });
    const base: AttentionShape = { heads: 14, kvHeads: 2, headDim: 32, context: 512, cache: "f32" };
    for (const shape of [
      base,
      { ...base, cache: "f16" },
      { ...base, window: 100, isCapped: true },
      { ...base, cache: "f16", source: true },
    ] satisfies AttentionShape[]) {
      const code = shaderCode(attentionMatrixKernel(shape, MAX_ROWS, tiling));
      const module = device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      // No warnings either: those would be about deprecated forms of an experimental feature.
      expect(messages.map(({ message, lineNum }) => `${lineNum}: ${message}`)).toEqual([]);
      await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
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

test("how rows are cut into tiles does not matter", async () => {
  const shape: AttentionShape = { heads: 6, kvHeads: 2, headDim: 8, context: 210, cache: "f32" };
  const data = makeCase(shape, run(0, 100, 50));
  const expected = await attendBy(SMALL)(data);
  for (const tileRows of [1, 3]) {
    expect(await attendBy(SMALL, tileRows)(data)).toEqual(expected);
  }
});
