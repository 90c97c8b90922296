import { expect, test } from "vitest";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import { ProgramBuilder } from "../../program.ts";
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

test("as many as a binding holds of the products that a row's experts add up, 2 · 4,096 columns", () => {
  const p = new ProgramBuilder();
  p.buffer("x", 16);
  p.buffer("scores", 3);
  p.buffer("routes", 4);
  p.lines("lines", 2, 8);
  p.buffer("sum", 4096);
  p.matrix("table", 9, 16);
  p.matrix("router", 3, 16);
  p.matrix("head", 9, 4096);
  const weights = [0, 1, 2].map((e) => [p.matrix(`up ${e}`, 8, 16), p.matrix(`down ${e}`, 4096, 8)] as const);
  const [routes, accumulate] = ["routes", false];
  p.group("all");
  p.op({ role: "embed", table: "table", output: "x" });
  p.op({ role: "linear", input: "x", weight: "router", output: "scores", accumulate });
  p.op({ role: "route", input: "scores", normalize: true, output: routes });
  const [up, down] = [weights.map(([first]) => first), weights.map(([, second]) => second)];
  p.op({ role: "experts", kind: "each", input: "x", routes, weights: up, output: "lines", accumulate });
  p.op({ role: "experts", kind: "sum", input: "lines", routes, weights: down, output: "sum", accumulate });
  p.op({ role: "logits", input: "sum", weight: "head" });
  const program = p.build({ family: "t", vocabSize: 9, maxPositions: 9000, state: PROGRAM.state });
  const planned = planGpuWeights(program, shapesOf(program), LIMITS);
  const rowsIn = (maxStorageBufferBindingSize: number): number => {
    const gpu = {
      limits: { ...LIMITS, maxStorageBufferBindingSize },
      summary: { name: "G", isSoftware: false },
    };
    return rowsOfPass(program, gpu, planned, { contextLength: 8192 });
  };
  expect(rowsIn(1024 * 8192 * 4)).toBe(1024);
  expect(rowsIn(1024 * 8192 * 4 - 1)).toBe(512);
});
