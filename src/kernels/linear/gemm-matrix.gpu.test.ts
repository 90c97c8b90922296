import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { multiply, type GemmCase, type GemmKernel } from "../../../test/support/gemm-case.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { expectValid, openNullGpu } from "../../../test/support/null-gpu.ts";
import { worstError } from "../../../test/support/numbers.ts";
import type { FormatName } from "../format.ts";
import {
  gemmMatrixKernel,
  matrixMemory,
  matrixTileSize,
  piecesPerInvocation,
  type MatrixTiling,
} from "./gemm-matrix.gpu.ts";

/** All three sides of a matrix differ, and one piece an invocation. */
const ODD: MatrixTiling = {
  matrixRows: 4,
  matrixColumns: 8,
  matrixK: 16,
  subgroupSize: 32,
  subgroupRows: 2,
  subgroupColumns: 2,
  tileK: 32,
  buffers: 2,
};
/** What Apple's units look like, with two pieces an invocation. */
const SQUARE: MatrixTiling = {
  matrixRows: 8,
  matrixColumns: 8,
  matrixK: 8,
  subgroupSize: 16,
  subgroupRows: 2,
  subgroupColumns: 4,
  tileK: 32,
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

  async function check(tiling: MatrixTiling, options: GemmCase): Promise<void> {
    const kernel: GemmKernel = {
      spec: (shape) => gemmMatrixKernel(shape, tiling, true),
      tile: matrixTileSize(tiling),
      isPacked: false,
    };
    const { actual, expected, bound } = await multiply(lab, kernel, options);
    const { ratio, text } = worstError(actual, expected, (i) => bound[i]);
    expect(ratio, text).toBeLessThanOrEqual(1);
  }

  test.each<FormatName>(["bf16", "f32", "int8", "int4"])("%s, sizes that no tile divides", async (format) => {
    await check(ODD, { format, rows: 35, columns: 77, outputs: 39 });
  });

  test("whole tiles, two pieces an invocation", async () => {
    await check(SQUARE, { rows: 64, columns: 40, outputs: 64, bias: true });
  });

  test("sharded, accumulated", async () => {
    await check(ODD, { rows: 33, columns: 40, outputs: 40, cuts: [36], bias: true, accumulate: true });
  });
});

/** What adapters with matrix units offer, for a driver that takes any WGSL and computes nothing. */
describe("with subgroup matrices, as Dawn validates them", () => {
  test.each<[number, number, number, number]>([
    [8, 8, 8, 1],
    [8, 8, 8, 2],
    [16, 8, 8, 1],
  ])("%i × %i × %i, %i buffers", async (matrixRows, matrixColumns, matrixK, buffers) => {
    const { device, subgroupSize } = await openNullGpu();
    const tiling: MatrixTiling = {
      matrixRows,
      matrixColumns,
      matrixK,
      subgroupSize,
      // The null device has subgroups of up to 128, and workgroups of 256.
      subgroupRows: 1,
      subgroupColumns: 2,
      tileK: 16,
      buffers: buffers as 1 | 2,
    };
    for (const format of ["bf16", "f16", "f32", "int8", "int4"] as const) {
      for (const flag of [true, false]) {
        const spec = gemmMatrixKernel(
          {
            format,
            columns: 77,
            outputColumns: 40,
            bias: flag,
            accumulate: flag,
            quads: flag,
            maxRows: 64,
          },
          tiling,
        );
        await expectValid(device, spec);
      }
    }
    device.destroy();
  });
});

test("sizes", () => {
  const nvidia: MatrixTiling = {
    matrixRows: 16,
    matrixColumns: 16,
    matrixK: 16,
    subgroupSize: 32,
    subgroupRows: 2,
    subgroupColumns: 4,
    tileK: 32,
    buffers: 2,
  };
  expect(matrixTileSize(nvidia)).toEqual({ rows: 128, columns: 128 });
  expect(piecesPerInvocation(nvidia)).toBe(2);
  expect(matrixMemory(nvidia)).toBe(2 * 256 * 144 + 8 * 1024);
  expect(matrixMemory(ODD)).toBe(2 * 64 * 144 + 4 * 128);
});
