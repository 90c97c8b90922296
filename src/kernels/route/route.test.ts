/** The router's choice and its weights, against f64 and a sort. */
import { afterEach, describe, expect, test } from "vitest";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  /** Runs the kernel over rows of logits. @returns numbers and weights of each row's experts */
  function route(rows: readonly (readonly number[])[], chosen: number, normalize: boolean) {
    const experts = rows[0].length;
    const [stride, outStride] = [experts + 3, 2 * chosen + 2];
    const x = lab.take(rows.length * stride, 1e9);
    const y = lab.take(rows.length * outStride, -7);
    for (const [r, row] of rows.entries()) {
      x.f32.set(row, r * stride);
    }
    const flag = normalize ? 1 : 0;
    lab.kernels.route(x.address, stride * 4, y.address, outStride * 4, rows.length, experts, chosen, flag);
    return rows.map((_, r) => {
      const from = r * outStride;
      expect([...y.f32.subarray(from + 2 * chosen, from + outStride)]).toEqual([-7, -7]);
      return {
        experts: [...y.f32.subarray(from, from + chosen)],
        weights: [...y.f32.subarray(from + chosen, from + 2 * chosen)],
      };
    });
  }

  test.each([
    [1, 1],
    [5, 2],
    [8, 8],
    [64, 8],
    [129, 7],
  ])("%i experts, %i chosen", (experts, chosen) => {
    const random = randomSource(experts);
    const rows = Array.from({ length: 3 }, () => [...normalNumbers(experts, random, 4)]);
    for (const normalize of [false, true]) {
      for (const [r, found] of route(rows, chosen, normalize).entries()) {
        const row = rows[r];
        const expected = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, chosen);
        expected.sort((a, b) => a - b);
        expect(found.experts).toEqual(expected);
        const powers = row.map((logit) => Math.exp(logit - Math.max(...row)));
        const total = (normalize ? expected.map((e) => powers[e]) : powers).reduce((sum, p) => sum + p, 0);
        for (const [i, e] of expected.entries()) {
          expect(Math.abs(found.weights[i] / (powers[e] / total) - 1)).toBeLessThan(2e-6);
        }
      }
    }
  });

  test("of equal logits the first, and -0 is 0", () => {
    expect(route([[1, 2, 2, 2, 0, 2]], 2, false)[0].experts).toEqual([1, 2]);
    expect(route([[-0, 0, -0, -1]], 2, true)[0]).toEqual({ experts: [0, 1], weights: [0.5, 0.5] });
    expect(route([[0, -0, -1]], 1, true)[0].experts).toEqual([0]);
    expect(route([[-3, -2, -2.5]], 2, true)[0].experts).toEqual([1, 2]);
  });

  test("experts whose part is too small for a number have none, but are chosen", () => {
    expect(route([[-1e4, 0, -2e4]], 2, true)[0]).toEqual({ experts: [0, 1], weights: [0, 1] });
  });

  test.each([NaN, Infinity])("%d shows in the weights; experts are some of those that there are", (value) => {
    for (const row of [
      [1, 2, value, 3],
      [value, value, value, value],
    ]) {
      const [{ experts, weights }] = route([row], 2, true);
      expect(experts).toEqual(row[0] === 1 ? [2, 3] : [0, 1]);
      expect(weights.some(Number.isNaN)).toBe(true);
    }
  });
});
