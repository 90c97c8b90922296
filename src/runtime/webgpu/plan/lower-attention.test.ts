import { expect, test } from "vitest";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import { blenderbot } from "../../../models/families/blenderbot.ts";
import { FORWARD } from "../../program.ts";
import type { Dispatch, PassShape } from "./dispatch.ts";
import type { GpuDescription } from "./gpu.ts";
import type { ForcedVariants } from "./select.ts";
import { planGpu, type GpuPlan, type PlanOptions } from "./plan.ts";

const UNITS: GpuDescription = {
  limits: {
    maxBufferSize: 2 ** 32,
    maxStorageBufferBindingSize: 2 ** 32 - 4,
    maxComputeWorkgroupStorageSize: 49_152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxStorageBuffersPerShaderStage: 16,
    maxComputeWorkgroupsPerDimension: 65_535,
  },
  features: {
    subgroups: true,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    shaderF16: true,
    timestamps: true,
    subgroupMatrix: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  },
  summary: { name: "Large", isSoftware: false },
};
const SMOLLM3 = smollm3Of3B();

const planOf = (options: Partial<PlanOptions>, program = SMOLLM3): GpuPlan =>
  planGpu(program, shapesOf(program), UNITS, {
    contextLength: 128,
    slots: 1,
    maxRows: 512,
    prefill: "exact",
    ...options,
  });

/** The first attention of the block form, after it was seen that all are of one kernel. */
function attentionOf(plan: GpuPlan): Dispatch {
  const body = plan.entries.get(FORWARD)?.block.body ?? [];
  const all = body.filter(({ spec }) => spec.source.startsWith("attention/"));
  expect(new Set(all.map(({ spec }) => spec.source)).size).toBe(1);
  return all[0];
}

test("attention of blocks is on matrix units in the mode that uses them", () => {
  const attention = attentionOf(planOf({ prefill: "subgroup-matrix" }));
  expect(attention.spec.source).toBe("attention/block-matrix.wgsl");
  expect(attention.buffers).toHaveLength(attention.spec.bindings.length - 1);
  for (const prefill of ["exact", "split", "f16"] as const) {
    expect(attentionOf(planOf({ prefill })).spec.source).toBe("attention/block.wgsl");
  }
});

test("tiles of rows follow the kernel, and a tiling can be forced", () => {
  const forced: ForcedVariants = {
    blockAttention: {
      tiling: {
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
      },
    },
  };
  const pass: PassShape = {
    rows: 100,
    logitRows: 1,
    length: 100,
    shortest: 100,
    sourceLength: 0,
    queryTiles: 5,
  };
  const onUnits = planOf({ prefill: "subgroup-matrix", forced });
  expect(onUnits.queryTileRows).toBe(32);
  expect(attentionOf(onUnits).workgroups(pass)).toEqual([4, 5, 1]);
  expect(attentionOf(onUnits).spec.constants.QUERIES).toBe(128);
  const exact = planOf({ prefill: "exact", forced });
  expect(exact.queryTileRows).toBe(16);
  expect(attentionOf(exact).workgroups(pass)).toEqual([5, 4, 1]);
});

test("heads that no matrix divides stay in f32", () => {
  const headsOf40 = blenderbot.describe({
    path: "config.json",
    values: {
      vocab_size: 8008,
      d_model: 1280,
      max_position_embeddings: 128,
      encoder_layers: 2,
      encoder_attention_heads: 32,
      encoder_ffn_dim: 5120,
      decoder_layers: 2,
      decoder_attention_heads: 32,
      decoder_ffn_dim: 5120,
    },
  }).program;
  const plan = planOf({ prefill: "subgroup-matrix" }, headsOf40);
  expect(attentionOf(plan).spec.source).toBe("attention/block.wgsl");
  expect(plan.queryTileRows).toBe(64);
});
