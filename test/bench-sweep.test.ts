/** Tests of the sweep over GPU kernels; that all of them are right is in bench-sweep.long.test.ts. */
import { describe, expect, test } from "vitest";
import { readSweepFlags } from "../bench/sweep/flags.ts";
import { gemvVariants } from "../bench/sweep/gemv.ts";
import { isRight, winners, type SweepLine } from "../bench/sweep/line.ts";
import { matricesOf, NARROW, SMOLLM3 } from "../bench/sweep/shapes.ts";

describe("the command line", () => {
  test("tries everything by itself", () => {
    expect(readSweepFlags([])).toEqual({
      adapter: undefined,
      families: ["gemv", "gemm", "decode-attention", "block-attention"],
      matrices: ["qkv", "o", "gate", "down"],
      rows: [64, 512, 2048],
      narrow: false,
      all: false,
      json: undefined,
    });
    expect(readSweepFlags(["--help"])).toBeUndefined();
  });

  test("says what is wrong", () => {
    expect(() => readSweepFlags(["--families", "gemv,conv"])).toThrow(
      '--families takes gemv, gemm, decode-attention, block-attention; found "conv".',
    );
    expect(() => readSweepFlags(["--rows", "1"])).toThrow("--rows must be an integer from 2 to 4096");
  });
});

describe("lines", () => {
  const line = (rest: Partial<SweepLine>): SweepLine => ({
    family: "gemv",
    shape: "qkv",
    variant: "a",
    parameters: {},
    error: 1,
    mostError: 1,
    ...rest,
  });

  test("are right within their bound", () => {
    expect(isRight(line({}))).toBe(true);
    expect(isRight(line({ error: 1.01 }))).toBe(false);
    expect(isRight(line({ error: NaN }))).toBe(false);
    expect(isRight(line({ failure: "does not compile" }))).toBe(false);
  });

  test("the fastest right one of every shape wins", () => {
    const lines = [
      line({ variant: "slow", seconds: 3 }),
      line({ variant: "wrong", seconds: 1, error: 2 }),
      line({ variant: "fast", seconds: 2 }),
      line({ variant: "other", shape: "o", seconds: 9 }),
      line({ variant: "another", family: "gemm", seconds: 9 }),
    ];
    expect(winners(lines).map(({ variant }) => variant)).toEqual(["fast", "other", "another"]);
  });
});

test("variants of one row fit the adapter and the row, and among them is the rule of each kind of model", () => {
  for (const layer of [SMOLLM3, NARROW]) {
    for (const matrix of matricesOf(layer)) {
      const variants = gemvVariants(matrix, { subgroups: true, mostInvocations: 256 });
      expect(variants.length).toBeGreaterThan(10);
      for (const { workgroup, outputs, tile, unroll = 1 } of variants) {
        expect(workgroup).toBeLessThanOrEqual(256);
        expect(outputs * tile).toBeLessThanOrEqual(workgroup);
        expect(outputs * unroll).toBeLessThanOrEqual(32);
      }
      const without = gemvVariants(matrix, { subgroups: false, mostInvocations: 512 });
      expect(without.every(({ workgroup }) => Number.isInteger(Math.log2(workgroup)))).toBe(true);
    }
  }
  expect(gemvVariants(matricesOf(SMOLLM3)[0], { subgroups: true, mostInvocations: 1024 })).toContainEqual({
    subgroups: true,
    workgroup: 128,
    outputs: 4,
    tile: 1,
    unroll: 1,
  });
});
