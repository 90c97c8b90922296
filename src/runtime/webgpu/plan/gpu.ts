/** What a plan must know about a GPU: features and limits of the device that was opened, and what kind of adapter it is. */

/** A shape of matrix product that the adapter's subgroup matrices have: [M, K] x [K, N] -> [M, N]. */
export interface SubgroupMatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Element type of the factors: "f16", "f32", "i8" or "u8". */
  readonly componentType: string;
  readonly resultComponentType: string;
}

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
  readonly subgroupMatrix: readonly SubgroupMatrixShape[];
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
