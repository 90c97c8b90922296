/** Activations over their whole range against f64. */
import { afterEach, describe, expect, test } from "vitest";
import { erf } from "../../../test/support/erf.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { ACTIVATION_CODE } from "../wasm-module.ts";
import type { Activation } from "./activation.ts";

/**
 * Each activation in f64, and how many roundings of x its result may err by (the exponentials' arguments are rounded
 * too).
 */
const ACTIVATIONS: Record<Activation, { exact: (x: number) => number; roundings: number }> = {
  silu: { exact: (x) => x / (1 + Math.exp(-x)), roundings: 6 },
  relu: { exact: (x) => Math.max(x, 0), roundings: 0 },
  gelu: { exact: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)), roundings: 4 },
  gelu_tanh: {
    exact: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    roundings: 6,
  },
};

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  describe.each(Object.entries(ACTIVATIONS))("%s", (name, { exact, roundings }) => {
    const code = ACTIVATION_CODE[name as Activation];

    test("over the range", () => {
      const xs = Float32Array.from({ length: 40_000 }, (_, i) => (i - 20_000) / 1600); // -12.5 .. 12.5
      const [x, y] = [lab.numbers(xs), lab.take(xs.length, NaN)];
      lab.kernels.activate(x.address, y.address, 1, xs.length, 0, code);
      const expected = Float64Array.from(xs, exact);
      const allowed = (i: number): number => roundings * UNIT_ROUNDOFF * Math.abs(xs[i]);
      const { ratio, text } = worstError(y.f32, expected, allowed);
      expect(ratio, text).toBeLessThanOrEqual(1);
    });

    test("at the ends", () => {
      const x = lab.numbers([0, -0, 1e4, -1e4, 1e18, -1e18, Infinity, NaN]);
      lab.kernels.activate(x.address, x.address, 1, 8, 0, code);
      const [zero, minusZero, large, small, huge, tiny, infinite, nan] = x.f32;
      expect([Math.abs(zero), Math.abs(minusZero), large, huge, infinite]).toEqual([
        0,
        0,
        1e4,
        Math.fround(1e18),
        Infinity,
      ]);
      expect(Math.abs(small)).toBeLessThan(1e-30);
      expect(Math.abs(tiny)).toBeLessThan(1e-19);
      expect(nan).toBeNaN();
    });

    test("rows apart, in place or not", () => {
      const [columns, stride, rows] = [12, 20, 3];
      const values = normalNumbers(rows * stride, randomSource(3));
      for (const inPlace of [false, true]) {
        const x = lab.numbers(values);
        const y = inPlace ? x : lab.take(rows * stride, 7);
        const before = y.f32.slice();
        lab.kernels.activate(x.address, y.address, rows, columns, stride * 4, code);
        y.f32.forEach((value, i) => {
          if (i % stride < columns) {
            expect(value).toBeCloseTo(exact(values[i]), 5);
          } else {
            expect(value).toBe(before[i]);
          }
        });
      }
    });
  });
});
