/** The soft cap of logits, and the hyperbolic tangent under it, against f64. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  test.each([1, 30])("over the whole range, cap %i", (cap) => {
    // To 12 caps on both sides, and every power of two that is near zero.
    const xs = [
      ...Array.from({ length: 20_000 }, (_, i) => ((i - 10_000) / 833) * cap),
      ...Array.from({ length: 60 }, (_, i) => 2 ** -i),
    ];
    const x = lab.numbers(xs);
    const expected = Float64Array.from(x.f32, (value) => cap * Math.tanh(value / cap));
    lab.kernels.soft_cap(x.address, 1, xs.length, 0, cap);
    // Four ulp of the tangent, eight u; then a quotient and a product.
    const { ratio, text } = worstError(x.f32, expected, (i) => 10 * UNIT_ROUNDOFF * Math.abs(expected[i]));
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("rows apart; what is between them stays", () => {
    const [columns, stride, rows] = [12, 20, 3];
    const values = normalNumbers(rows * stride, randomSource(5), 40);
    const x = lab.numbers(values);
    lab.kernels.soft_cap(x.address, rows, columns, stride * 4, 30);
    x.f32.forEach((value, i) => {
      if (i % stride < columns) {
        expect(value).toBeCloseTo(30 * Math.tanh(values[i] / 30), 4);
      } else {
        expect(value).toBe(values[i]);
      }
    });
  });

  test("at the ends", () => {
    const x = lab.numbers([0, -0, 1e4, -1e4, 1e38, -3e38, Infinity, -Infinity, NaN, 1e-30, 0, 0]);
    lab.kernels.soft_cap(x.address, 1, 12, 0, 30);
    // The sign of zero is not kept.
    const ends = [...x.f32.subarray(0, 8)].map((value) => value + 0);
    expect(ends).toEqual([0, 0, 30, -30, 30, -30, 30, -30]);
    expect(x.f32[8]).toBeNaN();
    expect(x.f32[9]).toBeCloseTo(1e-30, 35);
  });
});
