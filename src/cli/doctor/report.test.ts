/** Tests of what `doctor` says. */
import { expect, test } from "vitest";
import type { DeviceSpeed } from "./device-speed.ts";
import type { ModelNeeds } from "./prospects.ts";
import { reportJson, reportText, type Report } from "./report.ts";

const SPEED: DeviceSpeed = {
  readRate: 60e9,
  decodeRates: { none: 40e9, int8: 30e9, int4: 20e9 },
  layerSeconds: 0,
};
const MODEL: ModelNeeds = {
  name: "some/model",
  bytes: { none: 8e9, int8: 4.2e9, int4: 2.4e9 },
  bytesPerToken: { none: 8e9, int8: 4e9, int4: 2e9 },
  layers: 1,
  kvBytesPerToken: 0,
};
const MACHINE: Report = {
  version: "1.2.3",
  node: "v24.0.0",
  platform: "linux x64",
  cpu: "A CPU",
  cores: 2,
  kernelBuild: "wide-256",
  kernelNotice: undefined,
  availableBytes: 5e9,
  adapters: [],
  gpuProblem: undefined,
  cpuSpeed: SPEED,
  gpuSpeed: undefined,
  models: [MODEL],
};
const adapter = (name: string, isSoftware: boolean) => ({
  name,
  backend: "vulkan",
  vendor: "",
  architecture: "",
  description: "",
  isSoftware,
});
const WITH_GPU: Report = {
  ...MACHINE,
  adapters: [adapter("NVIDIA H200", false), adapter("llvmpipe", true)],
  gpuSpeed: { ...SPEED, readRate: 3.9e12, decodeRates: { none: 1.6e12, int8: 1e12, int4: 0.4e12 } },
};

test("a machine without a GPU: what it has, and what does not fit", () => {
  expect(reportText({ ...MACHINE, gpuProblem: "Dawn cannot be loaded." })).toBe(
    `Program  model-compose 1.2.3, Node v24.0.0, linux x64
CPU      A CPU, 2 cores
Kernels  wide-256
Memory   5.00 GB available, read at 60.00 GB/s
GPU      Dawn cannot be loaded.

On the CPU with 4,096 tokens of context (tokens a second, about):
MODEL       AS STORED      INT8  INT4
some/model  needs 8.30 GB  7.5   10
`,
  );
  expect(reportText(MACHINE)).toMatch(/^GPU {6}There is no WebGPU adapter on this machine/m);
});

test("a machine with GPUs: each, how fast the best is, and what it would do", () => {
  const text = reportText(WITH_GPU);
  expect(text).toContain(`GPU         NVIDIA H200 (vulkan)
            llvmpipe (vulkan; software, for tests)
GPU memory  not told how much, read at 3900.00 GB/s
`);
  expect(text).toContain(`On the GPU, where its memory suffices (tokens a second, about):
MODEL       AS STORED  INT8  INT4
some/model  200        250   200
`);
});

test("nothing is said of speeds that were not measured", () => {
  const text = reportText({
    ...MACHINE,
    cpuSpeed: undefined,
    kernelNotice: "They gave other numbers.",
    cores: 1,
  });
  expect(text).toContain(`CPU      A CPU, 1 core
Kernels  wide-256. They gave other numbers.
Memory   5.00 GB available
`);
  expect(text).toContain(`(what fits):
MODEL       AS STORED      INT8  INT4
some/model  needs 8.30 GB  fits  fits
`);
});

test("the same as JSON", () => {
  expect(JSON.parse(reportJson({ ...WITH_GPU, gpuProblem: "It hung." }))).toMatchObject({
    cores: 2,
    kernel_build: "wide-256",
    kernel_notice: null,
    available_bytes: 5e9,
    cpu_bytes_per_second: 60e9,
    gpu_problem: "It hung.",
    gpu_bytes_per_second: 3.9e12,
    adapters: [
      { name: "NVIDIA H200", backend: "vulkan", is_software: false },
      { name: "llvmpipe", backend: "vulkan", is_software: true },
    ],
    models: [
      {
        model: "some/model",
        choices: [
          {
            quantization: "none",
            needed_bytes: 8.3e9,
            fits: false,
            cpu_tokens_per_second: 5,
            gpu_tokens_per_second: 200,
          },
          { quantization: "int8", fits: true, cpu_tokens_per_second: 7.5, gpu_tokens_per_second: 250 },
          { quantization: "int4", fits: true, cpu_tokens_per_second: 10, gpu_tokens_per_second: 200 },
        ],
      },
    ],
  });
  expect(JSON.parse(reportJson({ ...MACHINE, cpuSpeed: undefined }))).toMatchObject({
    cpu_bytes_per_second: null,
    gpu_bytes_per_second: null,
    gpu_problem: null,
    models: [{ choices: [{ cpu_tokens_per_second: null, gpu_tokens_per_second: null }, {}, {}] }],
  });
});
