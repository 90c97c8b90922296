import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../base/errors.ts";
import { shaderCode } from "../wgsl/kernel.ts";
import {
  selectGemm,
  type GemmAdapter,
  type GemmChoice,
  type GemmMode,
  type GemmPlan,
} from "./gemm-select.gpu.ts";
import type { GemmShape } from "./gemm.gpu.ts";

const shape: GemmShape = {
  format: "bf16",
  columns: 2048,
  outputColumns: 11008,
  bias: false,
  accumulate: false,
  quads: true,
  maxRows: 512,
};

/** What every WebGPU adapter has. */
const LEAST: GemmAdapter = {
  name: "Least 1",
  shaderF16: false,
  subgroupMatrix: [],
  subgroupMaxSize: 0,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
};
const f16 = { componentType: "f16", resultComponentType: "f32" };
const NVIDIA: GemmAdapter = {
  name: "Big N",
  shaderF16: true,
  subgroupMaxSize: 32,
  subgroupMatrix: [
    { ...f16, M: 16, N: 8, K: 8 },
    { ...f16, M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 32 },
    { componentType: "u8", resultComponentType: "u32", M: 16, N: 16, K: 32 },
    { ...f16, M: 16, N: 8, K: 16 },
  ],
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
};
const APPLE: GemmAdapter = {
  name: "Apple A",
  shaderF16: true,
  subgroupMaxSize: 32,
  subgroupMatrix: [
    { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 },
    { componentType: "f16", resultComponentType: "f16", M: 8, N: 8, K: 8 },
  ],
  maxComputeWorkgroupStorageSize: 32768,
  maxComputeInvocationsPerWorkgroup: 1024,
};

const select = (
  adapter: GemmAdapter,
  mode: GemmMode,
  size = { rows: 512, count: shape.outputColumns },
): GemmPlan => selectGemm(adapter, shape, mode, size);

/** The only kernel of a choice. */
const kernel = (...request: Parameters<typeof select>): GemmChoice => {
  const { kernels } = select(...request);
  expect(kernels).toHaveLength(1);
  expect(kernels[0].mostRows).toBe(Infinity);
  return kernels[0];
};

describe("tiled", () => {
  test("large tiles while there are enough of them", () => {
    expect(kernel(LEAST, "exact").tile).toEqual({ rows: 128, columns: 128 });
    expect(kernel(LEAST, "exact", { rows: 512, count: 2048 }).tile).toEqual({ rows: 64, columns: 128 });
    expect(kernel(LEAST, "exact", { rows: 128, count: 2048 }).tile).toEqual({ rows: 64, columns: 64 });
    expect(kernel(LEAST, "exact", { rows: 2048, count: 2048 }).tile).toEqual({ rows: 128, columns: 128 });
  });

  test("two buffers where memory is plenty, but for large tiles of f32", () => {
    const smaller = { rows: 512, count: 2048 };
    expect(kernel(LEAST, "f16-emulated").spec.constants.BUFFERS).toBe(1);
    expect(kernel(NVIDIA, "f16").spec.constants.BUFFERS).toBe(2);
    expect(kernel(NVIDIA, "exact").spec.constants.BUFFERS).toBe(1);
    expect(kernel(NVIDIA, "exact", smaller).spec.constants.BUFFERS).toBe(2);
    expect(kernel(APPLE, "exact", smaller).spec.constants.BUFFERS).toBe(1);
  });

  test("x is packed for the modes that multiply in f16", () => {
    expect(select(NVIDIA, "exact").terms).toBe(undefined);
    expect(select(NVIDIA, "f16").terms).toBe(1);
    expect(select(LEAST, "f16-emulated").terms).toBe(1);
    expect(shaderCode(kernel(NVIDIA, "f16").spec)).toMatch(/^enable f16;/);
    expect(shaderCode(kernel(LEAST, "f16-emulated").spec)).not.toMatch(/enable/);
  });

  test("a tiling can be forced", () => {
    const tiling = { rowQuads: 1, columnQuads: 1, tileK: 32, buffers: 1 } as const;
    const plan = selectGemm(LEAST, shape, "exact", { rows: 2048, count: 11008 }, { tiling });
    expect(plan.kernels[0].tile).toEqual({ rows: 64, columns: 64 });
    expect(plan.kernels[0].spec.constants.TILE_K).toBe(32);
  });
});

describe("subgroup matrices", () => {
  test("f16 factors first, both packed, NVIDIA's own unit", () => {
    const { terms, isWeightPacked } = select(NVIDIA, "subgroup-matrix");
    expect({ terms, isWeightPacked }).toEqual({ terms: 1, isWeightPacked: true });
    const [{ spec, tile, mostRows }, large] = select(NVIDIA, "subgroup-matrix").kernels;
    expect(mostRows).toBe(512);
    expect(large).toMatchObject({ mostRows: Infinity, tile: { rows: 128, columns: 128 } });
    expect(large.spec.constants).toMatchObject({ SUBGROUP_ROWS: 2, SUBGROUP_COLUMNS: 4, TILE_K: 32 });
    expect(spec.constants).toMatchObject({
      TERMS: 1,
      MATRIX_ROWS: 16,
      MATRIX_COLUMNS: 8,
      MATRIX_K: 16,
      SUBGROUP_SIZE: 32,
      SUBGROUP_ROWS: 2,
      SUBGROUP_COLUMNS: 4,
      ROW_MATRICES: 2,
      COLUMN_MATRICES: 4,
      TILE_K: 64,
      FLUSH: 0,
      EMULATED: false,
    });
    expect(tile).toEqual({ rows: 64, columns: 128 });
  });

  test("the largest of other units", () => {
    const subgroupMatrix = NVIDIA.subgroupMatrix.filter(({ N, K }) => N !== 8 || K !== 16);
    for (const { spec } of select({ ...NVIDIA, subgroupMatrix }, "subgroup-matrix").kernels) {
      expect(spec.constants).toMatchObject({ MATRIX_COLUMNS: 16, MATRIX_K: 16 });
    }
  });

  test("two halves: larger tiles for more rows, sums added up on the way", () => {
    const { kernels, terms, isWeightPacked } = select(NVIDIA, "split");
    expect({ terms, isWeightPacked }).toEqual({ terms: 2, isWeightPacked: true });
    expect(kernels.map(({ mostRows, tile }) => ({ mostRows, ...tile }))).toEqual([
      { mostRows: 512, rows: 64, columns: 128 },
      { mostRows: Infinity, rows: 128, columns: 128 },
    ]);
    for (const { spec } of kernels) {
      expect(spec.constants).toMatchObject({ TERMS: 2, FLUSH: 256 });
    }
  });

  test("two halves are for weights that are halves: others are multiplied as f32", () => {
    for (const format of ["int8", "int4", "f32", "i8-row"] as const) {
      const plan = selectGemm(NVIDIA, { ...shape, format }, "split", { rows: 512, count: 11008 });
      expect(plan).toEqual(selectGemm(NVIDIA, { ...shape, format }, "exact", { rows: 512, count: 11008 }));
    }
    expect(selectGemm(NVIDIA, { ...shape, format: "f16" }, "split", { rows: 512, count: 64 }).terms).toBe(2);
  });

  test("f32 factors where the units add f32 only to those", () => {
    const { spec, tile } = kernel(APPLE, "subgroup-matrix");
    expect(spec.constants).toMatchObject({ MODE: "exact", MATRIX_ROWS: 8, SUBGROUP_COLUMNS: 4, TILE_K: 32 });
    expect(tile).toEqual({ rows: 64, columns: 64 });
    expect(select(APPLE, "subgroup-matrix").terms).toBeUndefined();
  });

  test("smaller workgroups and tiles on smaller adapters", () => {
    const small = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
    expect(kernel({ ...NVIDIA, ...small }, "subgroup-matrix").spec.constants).toMatchObject({
      SUBGROUP_ROWS: 1,
      SUBGROUP_COLUMNS: 2,
      TILE_K: 32,
    });
    const large = { ...NVIDIA, ...small, maxComputeWorkgroupStorageSize: 24576 };
    expect(select(large, "split").kernels.map(({ tile }) => tile)).toEqual([{ rows: 64, columns: 64 }]);
  });

  test("a tiling can be forced", () => {
    const [known] = select(NVIDIA, "split").kernels;
    const constants = known.spec.constants as Record<string, number>;
    const packedTiling = {
      matrixRows: 16,
      matrixColumns: 8,
      matrixK: 16,
      subgroupSize: 32,
      subgroupRows: 1,
      subgroupColumns: 1,
      rowMatrices: 1,
      columnMatrices: 1,
      tileK: 16,
      buffers: 2,
      flush: 0,
    } as const;
    expect(constants.TILE_K).not.toBe(16);
    const plan = selectGemm(NVIDIA, shape, "split", { rows: 512, count: 64 }, { packedTiling });
    expect(plan.kernels.map(({ spec }) => spec.constants.TILE_K)).toEqual([16]);
  });
});

describe("what an adapter lacks is an error that names it", () => {
  const messageOf = (adapter: GemmAdapter, mode: GemmMode): string => {
    try {
      select(adapter, mode);
    } catch (error) {
      expect(error).toBeInstanceOf(ModelComposeError);
      expect((error as ModelComposeError).code).toBe("unsupported");
      return (error as ModelComposeError).message;
    }
    return "no error";
  };

  test("shader-f16", () => {
    expect(messageOf(LEAST, "f16")).toBe(
      'The mode "f16" of prompt processing needs the WebGPU feature shader-f16; the adapter Least 1 lacks it. ' +
        'Use the mode "exact", which every adapter has.',
    );
  });

  test("subgroup matrices at all", () => {
    expect(messageOf(LEAST, "subgroup-matrix")).toContain(
      "the adapter Least 1 lacks the feature chromium-experimental-subgroup-matrix. Use",
    );
  });

  test("matrices of the right kind", () => {
    const adapter = { ...NVIDIA, shaderF16: false };
    expect(messageOf(adapter, "subgroup-matrix")).toContain(
      "the adapter Big N has f16 → f32 16×8×8, f16 → f32 16×16×16,",
    );
  });

  test("matrix units that multiply f16, for two halves", () => {
    expect(messageOf(APPLE, "split")).toContain(
      'The mode "split" of prompt processing needs matrix units that multiply f16 and add f32; the adapter Apple A has f32',
    );
  });

  test("room for a workgroup", () => {
    expect(messageOf({ ...NVIDIA, subgroupMaxSize: 2048 }, "subgroup-matrix")).toContain(
      "workgroups of 1024",
    );
  });
});
