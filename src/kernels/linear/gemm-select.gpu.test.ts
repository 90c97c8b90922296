import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../base/errors.ts";
import { shaderCode } from "../wgsl/kernel.ts";
import { selectGemm, type GemmAdapter, type GemmMode, type GemmPlan } from "./gemm-select.gpu.ts";
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

describe("tiled", () => {
  test("large tiles while there are enough of them", () => {
    expect(select(LEAST, "exact").tile).toEqual({ rows: 128, columns: 128 });
    expect(select(LEAST, "exact", { rows: 512, count: 2048 }).tile).toEqual({ rows: 64, columns: 128 });
    expect(select(LEAST, "exact", { rows: 128, count: 2048 }).tile).toEqual({ rows: 64, columns: 64 });
    expect(select(LEAST, "exact", { rows: 2048, count: 2048 }).tile).toEqual({ rows: 128, columns: 128 });
  });

  test("two buffers where memory is plenty", () => {
    expect(select(LEAST, "exact").spec.constants.BUFFERS).toBe(1);
    expect(select(APPLE, "exact").spec.constants.BUFFERS).toBe(1);
    expect(select(NVIDIA, "exact").spec.constants.BUFFERS).toBe(2);
  });

  test("x is packed for the modes that multiply in f16", () => {
    expect(select(NVIDIA, "exact").isPacked).toBe(false);
    expect(select(NVIDIA, "f16").isPacked).toBe(true);
    expect(select(LEAST, "f16-emulated").isPacked).toBe(true);
    expect(shaderCode(select(NVIDIA, "f16").spec)).toMatch(/^enable f16;/);
    expect(shaderCode(select(LEAST, "f16-emulated").spec)).not.toMatch(/enable/);
  });

  test("a tiling can be forced", () => {
    const tiling = { rowQuads: 1, columnQuads: 1, tileK: 32, buffers: 1 } as const;
    const plan = selectGemm(LEAST, shape, "exact", { rows: 2048, count: 11008 }, { tiling });
    expect(plan.tile).toEqual({ rows: 64, columns: 64 });
    expect(plan.spec.constants.TILE_K).toBe(32);
  });
});

describe("subgroup matrices", () => {
  test("f16 factors first, the largest matrices", () => {
    const { spec, tile, isPacked } = select(NVIDIA, "subgroup-matrix");
    expect(spec.constants).toMatchObject({
      MODE: "f16",
      MATRIX_ROWS: 16,
      MATRIX_COLUMNS: 16,
      MATRIX_K: 16,
      SUBGROUP_SIZE: 32,
      SUBGROUP_ROWS: 2,
      SUBGROUP_COLUMNS: 4,
      TILE_K: 32,
      BUFFERS: 1,
      EMULATED: false,
    });
    expect(tile).toEqual({ rows: 128, columns: 128 });
    expect(isPacked).toBe(true);
  });

  test("f32 factors where the units add f32 only to those", () => {
    const { spec, tile, isPacked } = select(APPLE, "subgroup-matrix");
    expect(spec.constants).toMatchObject({ MODE: "exact", MATRIX_ROWS: 8, SUBGROUP_COLUMNS: 4, TILE_K: 32 });
    expect(tile).toEqual({ rows: 64, columns: 64 });
    expect(isPacked).toBe(false);
  });

  test("smaller workgroups and tiles on smaller adapters", () => {
    const small = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
    expect(select({ ...NVIDIA, ...small }, "subgroup-matrix").spec.constants).toMatchObject({
      SUBGROUP_ROWS: 2,
      SUBGROUP_COLUMNS: 2,
      TILE_K: 16,
    });
    expect(
      select({ ...NVIDIA, ...small, subgroupMaxSize: 128 }, "subgroup-matrix").spec.constants,
    ).toMatchObject({
      SUBGROUP_ROWS: 1,
      SUBGROUP_COLUMNS: 2,
    });
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

  test("room for a workgroup", () => {
    expect(messageOf({ ...NVIDIA, subgroupMaxSize: 2048 }, "subgroup-matrix")).toContain(
      "workgroups of 1024",
    );
  });
});
