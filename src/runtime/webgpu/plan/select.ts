/** Which variants of the kernels a device gets: a pure choice from what the adapter has. */
import type { ForcedAttention } from "../../../kernels/attention/attention-select.gpu.ts";
import type { ForcedTiling } from "../../../kernels/linear/gemm-select.gpu.ts";
import type { GemvVariant } from "../../../kernels/linear/gemv.gpu.ts";
import type { GpuFeatures, GpuLimits } from "./gpu.ts";

/** Takes variants out of the choice or forces one; for tests and experiments. */
export interface ForcedVariants {
  /** Whether kernels may use subgroups. False: variants as on an adapter without them. */
  subgroups?: boolean;
  /** Kind of adapter that sizes are chosen for. */
  kind?: "hardware" | "software";
  /** Attention on matrix units. */
  attention?: ForcedAttention;
}

export interface Variants {
  gemv: { one: GemvVariant; few: GemvVariant };
  /** Tiles of blocked products; empty: as shape and adapter suggest. */
  gemm: ForcedTiling;
  /** Attention on matrix units; undefined: as shape and adapter suggest. */
  attention?: ForcedAttention;
  norm: { subgroups: boolean; workgroup: number };
}

/**
 * A software adapter runs the invocations of a workgroup in turns and switches between them at every barrier: there small
 * workgroups are fast.
 */
const INVOCATIONS = { hardware: { gemv: 128, norm: 256 }, software: { gemv: 16, norm: 16 } };

/**
 * SwiftShader compiles the loop over tileK as often as it runs: 0.4 s for 4, 1.9 s for 16, and small models have four
 * shapes.
 */
const SOFTWARE_TILING: ForcedTiling = { tiling: { rowQuads: 1, columnQuads: 1, tileK: 4, buffers: 1 } };

export interface VariantInput {
  features: Pick<GpuFeatures, "subgroups">;
  limits: Pick<GpuLimits, "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">;
  isSoftware: boolean;
  forced?: ForcedVariants;
}

export function selectVariants({ features, limits, isSoftware, forced = {} }: VariantInput): Variants {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = limits;
  const subgroups = (forced.subgroups ?? true) && features.subgroups;
  const kind = forced.kind ?? (isSoftware ? "software" : "hardware");
  const invocations = INVOCATIONS[kind];
  const gemv = (tile: number): GemvVariant => {
    const outputs = 4;
    let workgroup = Math.min(invocations.gemv, maxComputeInvocationsPerWorkgroup);
    // Without subgroups every invocation keeps its sums (the products' and those of squares) in workgroup memory.
    while (!subgroups && (outputs + 1) * tile * 4 * workgroup > maxComputeWorkgroupStorageSize) {
      workgroup /= 2;
    }
    return { subgroups, workgroup, outputs, tile };
  };
  return {
    gemv: { one: gemv(1), few: gemv(4) },
    gemm: kind === "software" ? SOFTWARE_TILING : {},
    attention: forced.attention,
    norm: { subgroups, workgroup: Math.min(invocations.norm, maxComputeInvocationsPerWorkgroup) },
  };
}
