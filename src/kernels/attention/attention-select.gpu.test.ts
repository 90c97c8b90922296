import { describe, expect, test } from "vitest";
import type { UnitsAdapter } from "../common/matrix-units.ts";
import { selectBlockAttention } from "./attention-select.gpu.ts";
import type { AttentionShape } from "./attention.gpu.ts";
import { attentionMatrixMemory, isWhole, type AttentionTiling } from "./block-matrix.gpu.ts";
import type { ShaderConstants } from "../wgsl/preprocess.ts";

const smollm3: AttentionShape = { heads: 16, kvHeads: 4, headDim: 128, context: 4096, cache: "f32" };
const f16 = { componentType: "f16", resultComponentType: "f32" };
const NVIDIA: UnitsAdapter = {
  shaderF16: true,
  subgroupMaxSize: 32,
  subgroupMatrix: [
    { ...f16, M: 16, N: 8, K: 16 },
    { ...f16, M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 32 },
    { componentType: "u8", resultComponentType: "u32", M: 16, N: 16, K: 32 },
  ],
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
};

const constantsOf = (
  adapter: Partial<UnitsAdapter>,
  shape: Partial<AttentionShape> = {},
): ShaderConstants => {
  const { spec } = selectBlockAttention({ ...smollm3, ...shape }, 512, { ...NVIDIA, ...adapter });
  return spec.source === "attention/block-matrix.wgsl" ? spec.constants : {};
};

describe("on matrix units", () => {
  test("the largest matrices, sums in f32", () => {
    const { spec, tileRows, workgroups } = selectBlockAttention(smollm3, 512, NVIDIA);
    expect(spec.source).toBe("attention/block-matrix.wgsl");
    expect(spec.constants).toMatchObject({
      MATRIX_ROWS: 16,
      MATRIX_COLUMNS: 16,
      MATRIX_K: 16,
      SUBGROUP_SIZE: 32,
      SUBGROUP_ROWS: 4,
      SUBGROUP_COLUMNS: 1,
      QUERIES: 64,
      KEYS: 32,
      EMULATED: false,
    });
    expect(tileRows).toBe(16);
    expect(workgroups(32)).toEqual([4, 32]);
  });

  test("smaller matrices where the larger do not divide heads, more subgroups where heads take many registers", () => {
    expect(constantsOf({}, { headDim: 80 })).toMatchObject({ MATRIX_COLUMNS: 16, SUBGROUP_COLUMNS: 1 });
    expect(constantsOf({}, { headDim: 256 })).toMatchObject({
      KEYS: 16,
      MATRIX_COLUMNS: 8,
      SUBGROUP_COLUMNS: 2,
    });
  });

  test("what fits the adapter", () => {
    for (const memory of [16_384, 32_768, 49_152]) {
      for (const invocations of [64, 256, 1024]) {
        for (const headDim of [16, 64, 80, 128, 256]) {
          const limits = {
            maxComputeWorkgroupStorageSize: memory,
            maxComputeInvocationsPerWorkgroup: invocations,
          };
          const constants = constantsOf(limits, { headDim });
          if (constants.QUERIES === undefined) {
            continue;
          }
          const tiling: AttentionTiling = {
            matrixRows: 16,
            matrixColumns: Number(constants.MATRIX_COLUMNS),
            matrixK: 16,
            subgroupSize: 32,
            subgroupRows: Number(constants.SUBGROUP_ROWS),
            subgroupColumns: Number(constants.SUBGROUP_COLUMNS),
            queries: Number(constants.QUERIES),
            keys: Number(constants.KEYS),
            scorePadding: 8,
            prefetch: true,
          };
          expect(isWhole({ ...smollm3, headDim }, tiling)).toBe(true);
          expect(attentionMatrixMemory({ ...smollm3, headDim }, tiling)).toBeLessThanOrEqual(memory);
          expect(tiling.subgroupRows * tiling.subgroupColumns * 32).toBeLessThanOrEqual(invocations);
        }
      }
    }
    expect(constantsOf({ maxComputeInvocationsPerWorkgroup: 64 })).toMatchObject({ SUBGROUP_ROWS: 2 });
    expect(constantsOf({ maxComputeWorkgroupStorageSize: 16_384 })).toMatchObject({ QUERIES: 32, KEYS: 16 });
  });

  test("a tiling can be forced", () => {
    const tiling: AttentionTiling = {
      matrixRows: 16,
      matrixColumns: 16,
      matrixK: 16,
      subgroupSize: 32,
      subgroupRows: 8,
      subgroupColumns: 1,
      queries: 128,
      keys: 32,
      scorePadding: 4,
      prefetch: true,
    };
    const { spec, tileRows } = selectBlockAttention(smollm3, 512, NVIDIA, { tiling });
    expect(spec.constants).toMatchObject({ QUERIES: 128, SUBGROUP_ROWS: 8, SCORE_PADDING: 4 });
    expect(tileRows).toBe(32);
    expect(spec.constants.EMULATED).toBe(false);
    expect(selectBlockAttention(smollm3, 512, undefined, { tiling }).spec.source).toBe(
      "attention/block.wgsl",
    );
    const emulated = selectBlockAttention(smollm3, 512, undefined, { tiling, emulated: true });
    expect(emulated.spec.constants).toMatchObject({ QUERIES: 128, EMULATED: true });
    expect(emulated.tileRows).toBe(32);
    // The kernel of matrix units knows no biases.
    const biased = selectBlockAttention({ ...smollm3, bias: "linear" }, 512, undefined, {
      tiling,
      emulated: true,
    });
    expect(biased.spec.constants).toMatchObject({ BIAS: "linear" });
    expect(biased.spec.source).toBe("attention/block.wgsl");
  });
});

describe("in f32", () => {
  test("without matrix units", () => {
    const { spec, tileRows, workgroups } = selectBlockAttention(smollm3, 512);
    expect(spec.source).toBe("attention/block.wgsl");
    expect(tileRows).toBe(16);
    expect(workgroups(32)).toEqual([32, 4]);
  });

  test.each<[string, Partial<UnitsAdapter>, Partial<AttentionShape>]>([
    ["no units", { subgroupMatrix: [] }, {}],
    ["no f16", { shaderF16: false }, {}],
    [
      "units that add f16",
      { subgroupMatrix: [{ ...f16, resultComponentType: "f16", M: 16, N: 16, K: 16 }] },
      {},
    ],
    ["units of f32", { subgroupMatrix: [{ ...f16, componentType: "f32", M: 8, N: 8, K: 8 }] }, {}],
    ["odd matrices", { subgroupMatrix: [{ ...f16, M: 16, N: 16, K: 6 }] }, {}],
    ["heads that matrices do not divide", {}, { headDim: 72 }],
    ["little memory", { maxComputeWorkgroupStorageSize: 4096 }, {}],
    ["small workgroups", { maxComputeInvocationsPerWorkgroup: 16 }, {}],
  ])("with %s", (_, adapter, shape) => {
    expect(constantsOf(adapter, shape)).toEqual({});
  });
});
