/** What a plan must know about a GPU: features and limits of the device that was opened, and what kind of adapter it is. */
import type { MatrixConfig } from "../../../kernels/common/matrix-units.ts";

/** What kernels may use; the features a device was opened with, not those of the adapter. */
export interface GpuFeatures {
  readonly subgroups: boolean;
  /** Invocations of the smallest subgroups; 0 without them. */
  readonly subgroupMinSize: number;
  /** Invocations of the largest subgroups; 0 without them. */
  readonly subgroupMaxSize: number;
  readonly shaderF16: boolean;
  readonly timestamps: boolean;
  /** Shapes of subgroup matrices; empty without the feature. */
  readonly subgroupMatrix: readonly MatrixConfig[];
}

/** WebGPU's limits of these names, in bytes and counts. */
export interface GpuLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** A GPU as plans see it. */
export interface GpuDescription {
  features: GpuFeatures;
  limits: GpuLimits;
  /** The adapter's name, for errors, and whether it computes on the CPU. */
  summary: { readonly name: string; readonly isSoftware: boolean };
}
