import { expect, test } from "vitest";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import { rowsOfPass } from "./pass-rows.ts";
import { planGpuWeights } from "./plan.ts";

const PROGRAM = smollm3Of3B();
const LIMITS = {
  maxBufferSize: 2 ** 32,
  maxStorageBufferBindingSize: 2 ** 31,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupsPerDimension: 65_535,
};
const WEIGHTS = planGpuWeights(PROGRAM, shapesOf(PROGRAM), LIMITS);

function rows(
  binding: number,
  {
    contextLength = 8192,
    given,
    isSoftware = false,
  }: { contextLength?: number; given?: number; isSoftware?: boolean } = {},
): number {
  const gpu = {
    limits: { ...LIMITS, maxStorageBufferBindingSize: binding },
    summary: { name: "G", isSoftware },
  };
  return rowsOfPass(PROGRAM, gpu, WEIGHTS, { contextLength, given });
}

test("many on hardware, fewer in software, no more than there are positions", () => {
  expect(rows(2 ** 31)).toBe(2048);
  expect(rows(2 ** 31, { isSoftware: true })).toBe(512);
  expect(rows(2 ** 31, { contextLength: 100 })).toBe(100);
  expect(rows(2 ** 31, { given: 32 })).toBe(32);
});

test("as many as a binding holds of gate and up beside each other, 22,016 columns", () => {
  const bytes = (count: number): number => count * 22_016 * 4;
  expect(rows(bytes(2048))).toBe(2048);
  expect(rows(bytes(2048) - 1)).toBe(1024);
  expect(rows(bytes(256))).toBe(256);
  expect(rows(1000)).toBe(64);
});
