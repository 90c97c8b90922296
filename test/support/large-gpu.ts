/** A GPU that plans are made for. */
import type { GpuDescription, GpuFeatures } from "../../src/runtime/webgpu/plan/gpu.ts";

/** What NVIDIA's large GPUs have, with these products of matrix units. */
export const largeGpu = (subgroupMatrix: GpuFeatures["subgroupMatrix"]): GpuDescription => ({
  limits: {
    maxBufferSize: 2 ** 32,
    maxStorageBufferBindingSize: 2 ** 31 - 4,
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
    subgroupMatrix,
  },
  summary: { name: "Large", isSoftware: false },
});
