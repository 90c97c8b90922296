import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { multiply, type GemmCase, type GemmKernel } from "../../../test/support/gemm-case.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { expectValid, openNullGpu } from "../../../test/support/null-gpu.ts";
import { worstError } from "../../../test/support/numbers.ts";
import type { FormatName } from "../format.ts";
import type { Terms } from "./gemm-pack.gpu.ts";
import {
  gemmPackedKernel,
  packedMemory,
  packedTileSize,
  packedWorkgroup,
  type PackedTiling,
} from "./gemm-packed.gpu.ts";

/** All three sides of a matrix differ, there are more loads than invocations, and some have none. */
const ODD: PackedTiling = {
  matrixRows: 4,
  matrixColumns: 8,
  matrixK: 16,
  subgroupSize: 12,
  subgroupRows: 1,
  subgroupColumns: 2,
  rowMatrices: 3,
  columnMatrices: 1,
  tileK: 32,
  buffers: 2,
  flush: 0,
};
const SQUARE: PackedTiling = {
  ...ODD,
  matrixRows: 8,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 2,
  rowMatrices: 1,
  columnMatrices: 2,
  tileK: 16,
  buffers: 1,
};

describe("around emulated matrices", () => {
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

  /** @param lost the most that a product of two packed numbers is off, as a part of itself */
  async function check(terms: Terms, tiling: PackedTiling, lost: number, options: GemmCase): Promise<void> {
    const kernel: GemmKernel = {
      spec: (shape) => gemmPackedKernel(shape, terms, tiling, true),
      tile: packedTileSize(tiling),
      isPacked: true,
      terms,
    };
    const { actual, expected, bound, magnitude } = await multiply(lab, kernel, options);
    const { ratio, text } = worstError(actual, expected, (i) => bound[i] + lost * magnitude[i]);
    expect(ratio, text).toBeLessThanOrEqual(1);
  }

  /** A half may be off by 2^-10 of itself, whichever way it is rounded; a number of two by the square of that. */
  const HALF = 1.01 * 2 ** -10;
  const TWO_HALVES = 1.01 * 2 ** -20;

  test.each<[FormatName, number]>([
    ["bf16", 0],
    ["f16", 0],
    ["f32", HALF],
    ["int8", HALF],
    ["int4", HALF],
    ["i8-row", 0],
  ])("%s, sizes that no tile divides", async (format, lost) => {
    await check(1, ODD, HALF + lost, { format, rows: 35, columns: 77, outputs: 39 });
  });

  test("two halves a number", async () => {
    await check(2, ODD, TWO_HALVES, { rows: 26, columns: 150, outputs: 20, bias: true });
    await check(2, SQUARE, TWO_HALVES, { format: "f16", rows: 33, columns: 40, outputs: 40, cuts: [36] });
  });

  test("sums of some columns added up", async () => {
    const options = { rows: 26, columns: 200, outputs: 33, bias: true, accumulate: true };
    await check(2, { ...ODD, flush: 64 }, TWO_HALVES, options);
    await check(1, { ...SQUARE, flush: 32 }, HALF, options);
  });

  test("an activation, and workgroups in two dimensions", async () => {
    await check(1, SQUARE, 1.2 * HALF, {
      rows: 33,
      columns: 40,
      outputs: 65,
      bias: true,
      activation: "gelu_tanh",
      maxPerDimension: 7,
    });
  });
});

/** What adapters with matrix units offer, for a driver that takes any WGSL and computes nothing. */
describe("with subgroup matrices, as Dawn validates them", () => {
  test.each<[number, number, number, Terms, 1 | 2, number]>([
    [16, 16, 16, 1, 1, 0],
    [16, 16, 16, 2, 2, 64],
    [16, 8, 16, 1, 2, 32],
    [16, 8, 16, 2, 1, 0],
  ])(
    "%i × %i × %i, %i terms, %i buffers, flush %i",
    async (matrixRows, matrixColumns, matrixK, terms, buffers, flush) => {
      const { device, subgroupSize } = await openNullGpu();
      const tiling: PackedTiling = {
        matrixRows,
        matrixColumns,
        matrixK,
        // The null device has subgroups of up to 128, and workgroups of 256 with 16 KiB.
        subgroupSize,
        subgroupRows: 1,
        subgroupColumns: 2,
        rowMatrices: 2,
        columnMatrices: 1,
        tileK: 16,
        buffers,
        flush,
      };
      for (const flag of [true, false]) {
        const shape = {
          format: "bf16",
          columns: 77,
          outputColumns: 40,
          bias: flag,
          accumulate: flag,
        } as const;
        const spec = gemmPackedKernel({ ...shape, quads: flag, maxRows: 64 }, terms, tiling);
        await expectValid(device, spec);
      }
      device.destroy();
    },
  );
});

test("sizes", () => {
  const nvidia: PackedTiling = {
    matrixRows: 16,
    matrixColumns: 16,
    matrixK: 16,
    subgroupSize: 32,
    subgroupRows: 2,
    subgroupColumns: 4,
    rowMatrices: 4,
    columnMatrices: 2,
    tileK: 32,
    buffers: 1,
    flush: 0,
  };
  expect(packedTileSize(nvidia)).toEqual({ rows: 128, columns: 128 });
  expect(packedWorkgroup(nvidia)).toBe(256);
  expect(packedMemory(nvidia, 1)).toBe(256 * 80 + 16 * 1024);
  expect(packedMemory({ ...nvidia, buffers: 2 }, 2)).toBe(2 * 384 * 80 + 16 * 1024);
});
