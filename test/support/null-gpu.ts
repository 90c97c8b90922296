/** Dawn's null device: it takes any WGSL that Dawn finds valid, with what adapters with matrix units offer, and computes nothing. */
import { expect } from "vitest";
import { shaderCode, type KernelSpec } from "../../src/kernels/wgsl/kernel.ts";
import { openGpu } from "../../src/runtime/platform/gpu.ts";

export interface NullGpu {
  device: GPUDevice;
  /** Invocations of its largest subgroups. */
  subgroupSize: number;
}

export async function openNullGpu(): Promise<NullGpu> {
  const gpu = await openGpu(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = (await gpu.requestAdapter())!;
  const device = await adapter.requestDevice({
    requiredFeatures: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix" as GPUFeatureName],
  });
  return { device, subgroupSize: adapter.info.subgroupMaxSize! };
}

/** Checks that Dawn takes a kernel. No warnings either: those would be about deprecated forms of an experimental feature. */
export async function expectValid(device: GPUDevice, spec: KernelSpec): Promise<void> {
  const module = device.createShaderModule({ code: shaderCode(spec) });
  const { messages } = await module.getCompilationInfo();
  expect(messages.map(({ message, lineNum }) => `${lineNum}: ${message}`)).toEqual([]);
  await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
}
