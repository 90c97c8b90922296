import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADAPTER } from "../../../../test/support/devices.ts";
import { attentionMatrixKernel, type AttentionTiling } from "../../../kernels/attention/block-matrix.gpu.ts";
import { selectBlockAttention } from "../../../kernels/attention/attention-select.gpu.ts";
import {
  gemmPackedKernel,
  packedTileSize,
  type PackedTiling,
} from "../../../kernels/linear/gemm-packed.gpu.ts";
import type { GemmPlan } from "../../../kernels/linear/gemm-select.gpu.ts";
import type { GemmShape } from "../../../kernels/linear/gemm.gpu.ts";
import { selectVariants } from "../plan/select.ts";
import { GpuContext } from "./device.ts";
import { checkDevice } from "./device-check.ts";

let context: GpuContext;
beforeAll(async () => {
  context = await GpuContext.open({ name: ADAPTER });
});
afterAll(() => {
  context.destroy();
});

const shape: GemmShape = {
  format: "bf16",
  columns: 72,
  outputColumns: 20,
  bias: false,
  accumulate: false,
  quads: true,
  maxRows: 20,
};
const TILING: PackedTiling = {
  matrixRows: 8,
  matrixColumns: 8,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 1,
  subgroupColumns: 1,
  rowMatrices: 1,
  columnMatrices: 1,
  tileK: 16,
  buffers: 1,
  flush: 0,
};
const ATTENTION: AttentionTiling = {
  matrixRows: 8,
  matrixColumns: 8,
  matrixK: 8,
  subgroupSize: 8,
  subgroupRows: 1,
  subgroupColumns: 1,
  queries: 8,
  keys: 8,
  scorePadding: 4,
  prefetch: true,
};

/** A product in two halves. */
function product(): { shape: GemmShape; rows: number; plan: GemmPlan } {
  const spec = gemmPackedKernel(shape, 2, TILING, true);
  const kernels = [{ spec, tile: packedTileSize(TILING), mostRows: Infinity }];
  return { shape, rows: 20, plan: { kernels, terms: 2, isWeightPacked: true } };
}

describe("what a device computes", () => {
  test("passes where it is right, and leaves nothing on the device", async () => {
    const before = context.allocatedBytes;
    await checkDevice(context, { product: product() });
    expect(context.allocatedBytes).toBe(before);
  });

  test("is refused by name where the product is wrong", async () => {
    // One half a number is 2^-11 off: too much for two.
    const wrong = product();
    const spec = gemmPackedKernel(shape, 1, TILING, true);
    const halved = { ...wrong, plan: { ...wrong.plan, kernels: [{ ...wrong.plan.kernels[0], spec }] } };
    await expect(checkDevice(context, { product: halved })).rejects.toThrow(
      /^The GPU SwiftShader.* computes wrong results: the kernel "gemm packed" is off by .*; expected at most 4\.0e-6\./,
    );
  });

  test("is refused by name where attention is wrong", async () => {
    const heads = { heads: 2, kvHeads: 1, headDim: 8, context: 20, cache: "f32" } as const;
    const right = selectBlockAttention(heads, 12, undefined, { tiling: ATTENTION, emulated: true });
    const check = { shape: heads, rows: 12, before: 8, kernel: right, maxRows: 12 };
    await checkDevice(context, { product: product(), attention: check });
    // A row that sees other keys.
    const spec = attentionMatrixKernel({ ...heads, window: 3 }, 12, ATTENTION, true);
    const wrong = { ...check, kernel: { ...right, spec } };
    await expect(checkDevice(context, { product: product(), attention: wrong })).rejects.toThrow(
      /the kernel ".*attention.*" is off by/,
    );
  });

  test("is refused by name where a row's attention is wrong", async () => {
    const rowShape = { heads: 4, kvHeads: 2, headDim: 8, context: 24, cache: "f32" } as const;
    const { attention: variant } = selectVariants({
      features: context.features,
      limits: context.limits,
      isSoftware: true,
      forced: { attention: { directPositions: 12 } },
    });
    const check = { shape: rowShape, variant, positions: [11, 23] };
    await checkDevice(context, { rowAttention: check });
    // Those of a window see other keys.
    const windowed = { ...rowShape, window: 9 };
    await expect(checkDevice(context, { rowAttention: { ...check, shape: windowed } })).rejects.toThrow(
      /the kernel "attention direct" is off by .* Use the device "wasm"/,
    );
  });
});
