/** How products of many rows are lowered for matrix units: packed, by tiles that depend on the number of rows. */
import { describe, expect, test } from "vitest";
import { largeGpu } from "../../../../test/support/large-gpu.ts";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import { packedMatrixWords } from "../../../kernels/linear/gemm-pack.gpu.ts";
import { FORWARD } from "../../program.ts";
import type { Dispatch, PassShape } from "./dispatch.ts";
import { planGpu, type GpuPlan, type PlanOptions } from "./plan.ts";

const UNITS = largeGpu([{ componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 16 }]);
const PROGRAM = smollm3Of3B();

const planOf = (prefill: PlanOptions["prefill"]): GpuPlan =>
  planGpu(PROGRAM, shapesOf(PROGRAM), UNITS, { contextLength: 128, slots: 1, maxRows: 2048, prefill });

const bodyOf = (plan: GpuPlan): readonly Dispatch[] => plan.entries.get(FORWARD)?.block.body ?? [];

const passOf = (rows: number): PassShape => ({
  rows,
  logitRows: 1,
  length: rows,
  shortest: 1,
  sourceLength: 0,
  queryTiles: 1,
});

/** Names of the kernels that compute the first layer's output projection in a pass of so many rows. */
function outputProjection(plan: GpuPlan, rows: number): string[] {
  const body = bodyOf(plan);
  const start = body.findIndex(({ spec }) => spec.name.startsWith("attention")) + 1;
  const end = body.findIndex(({ spec }, i) => i > start && spec.source.startsWith("norm/"));
  return body
    .slice(start, end)
    .filter(({ workgroups }) => workgroups(passOf(rows)).every((count) => count > 0))
    .map(({ spec }) => `${spec.name} ${spec.constants.ROW_MATRICES ?? ""}`.trim());
}

describe("on matrix units", () => {
  test("x and weight are packed before the product, whose tile depends on the rows", () => {
    const plan = planOf("split");
    for (const [rows, matrices] of [
      [17, 2],
      [512, 2],
      [513, 4],
      [2048, 4],
    ]) {
      expect(outputProjection(plan, rows), `${rows} rows`).toEqual([
        "gemm pack",
        "gemm pack weight",
        `gemm split ${matrices}`,
      ]);
    }
    expect(outputProjection(planOf("subgroup-matrix"), 2048)).toEqual([
      "gemm pack",
      "gemm pack weight",
      "gemm packed 4",
    ]);
    expect(outputProjection(planOf("subgroup-matrix"), 512)).toContain("gemm packed 2");
    expect(outputProjection(planOf("exact"), 2048)).toEqual(["gemm exact"]);
  });

  test("buffers hold the widest input in whole tiles, and the largest weight that is packed", () => {
    const { buffers } = planOf("split");
    expect(buffers.get("packed")).toBe(packedMatrixWords(2048, 11008, 2) * 4);
    // Gate and up; the table of the logits is larger, and is not packed.
    expect(buffers.get("packed weight")).toBe(packedMatrixWords(22016, 2048) * 4);
    const exact = planOf("exact");
    expect([exact.buffers.get("packed"), exact.buffers.get("packed weight")]).toEqual([4, 4]);
  });

  test("what is checked before is what is used", () => {
    const { deviceCheck } = planOf("subgroup-matrix");
    expect(deviceCheck.product?.plan.kernels.map(({ spec }) => spec.name)).toEqual([
      "gemm packed",
      "gemm packed",
    ]);
    expect(deviceCheck.attention?.kernel.spec.source).toBe("attention/block-matrix.wgsl");
    expect(planOf("split").deviceCheck.product?.plan.kernels).toHaveLength(2);
    expect(planOf("split").deviceCheck.attention).toBeUndefined();
    for (const prefill of ["exact", "f16"] as const) {
      expect(Object.keys(planOf(prefill).deviceCheck)).toEqual(["rowAttention"]);
    }
    // The last row that one dispatch does, and one that takes two.
    const { shape, variant, positions = [] } = planOf("exact").deviceCheck.rowAttention ?? {};
    expect(positions[0]).toBe((variant?.directPositions ?? 0) - 1);
    expect(positions[1]).toBe((shape?.context ?? 0) - 1);
    expect(positions[1]).toBeGreaterThan(positions[0] + 1);
  });
});
