/** Which variants of the kernels a device gets: a pure choice from what the adapter has. */
import type { GemvVariant } from "../../kernels/linear/gemv.gpu.ts";
import type { GemmTiling, TileMode } from "../../kernels/linear/gemm.gpu.ts";
import type { GpuFeatures, GpuLimits } from "./device.ts";

/** Takes variants out of the choice or forces one; for tests and experiments. */
export interface ForcedVariants {
  subgroups?: boolean;
  gemv?: Partial<GemvVariant>;
}

export interface Variants {
  subgroups: boolean;
  gemv: { one: GemvVariant; few: GemvVariant };
  gemm: { mode: TileMode; tiling: GemmTiling };
}

/** Rows of a workgroup that the memory without subgroups allows: (outputs + 1) · tile sums of 4 bytes an invocation. */
export function selectVariants(
  features: Pick<GpuFeatures, "subgroups">,
  limits: Pick<GpuLimits, "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">,
  forced: ForcedVariants = {},
): Variants {
  const subgroups = (forced.subgroups ?? true) && features.subgroups;
  const gemv = (tile: number): GemvVariant => {
    const outputs = forced.gemv?.outputs ?? 4;
    let workgroup = Math.min(forced.gemv?.workgroup ?? 128, limits.maxComputeInvocationsPerWorkgroup);
    const sums = (outputs + 1) * tile * 4;
    while (!subgroups && sums * workgroup > limits.maxComputeWorkgroupStorageSize) workgroup /= 2;
    return { subgroups, workgroup, outputs, tile };
  };
  return {
    subgroups,
    gemv: { one: gemv(1), few: gemv(4) },
    gemm: { mode: "exact", tiling: { rowQuads: 1, columnQuads: 2, tileK: 16, buffers: 1 } },
  };
}
