/** RMSNorm and LayerNorm against f64. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";

/** The mean of squares (all positive) errs by some u * sqrt(n), its root by half of that; then five roundings. */
const allowedRelative = (columns: number): number => UNIT_ROUNDOFF * (0.5 * Math.sqrt(columns) + 5);

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  function check(columns: number, rows: number, scale: number, epsilon: number): void {
    const random = randomSource(columns * 31 + rows);
    const stride = Math.ceil(columns / 16) * 16;
    const x = lab.take(rows * stride, NaN);
    const weight = lab.numbers(normalNumbers(columns, random));
    const y = lab.take(rows * stride, 5);
    for (let r = 0; r < rows; r++) {
      x.f32.set(normalNumbers(columns, random, scale), r * stride);
    }
    lab.kernels.rms_norm(x.address, weight.address, y.address, rows, columns, stride * 4, epsilon);
    for (let r = 0; r < rows; r++) {
      const row = Float64Array.from(x.f32.subarray(r * stride, r * stride + columns));
      const mean = row.reduce((sum, value) => sum + value * value, 0) / columns;
      const expected = row.map(
        (value, c) => (value / Math.sqrt(mean + Math.fround(epsilon))) * weight.f32[c],
      );
      const { ratio, text } = worstError(
        y.f32.subarray(r * stride, r * stride + columns),
        expected,
        (i) => allowedRelative(columns) * Math.abs(expected[i]),
      );
      expect(ratio, `row ${r}: ${text}`).toBeLessThanOrEqual(1);
      // The padding is not part of the row.
      expect(y.f32.subarray(r * stride + columns, (r + 1) * stride).every((v) => v === 5)).toBe(true);
    }
  }

  test.each([1, 3, 4, 15, 16, 17, 31, 33, 255, 257, 4097])("%i columns", (columns) => {
    for (const rows of [1, 3]) {
      check(columns, rows, 1, 1e-6);
    }
    check(columns, 2, 1e4, 1e-6);
    check(columns, 2, 1e-3, 1e-5); // epsilon is most of the mean
  });

  test("a row of zeros stays zeros", () => {
    const [x, weight, y] = [lab.take(16), lab.take(16, 1), lab.take(16, NaN)];
    lab.kernels.rms_norm(x.address, weight.address, y.address, 1, 16, 64, 1e-6);
    expect(y.f32.every((value) => value === 0)).toBe(true);
  });

  test("NaN shows", () => {
    const [x, weight, y] = [lab.take(16, 1), lab.take(16, 1), lab.take(16)];
    x.f32[5] = NaN;
    lab.kernels.rms_norm(x.address, weight.address, y.address, 1, 16, 64, 1e-6);
    expect(y.f32.every(Number.isNaN)).toBe(true);
  });

  test.each([1, 3, 4, 15, 16, 17, 255, 1280])("LayerNorm, %i columns", (columns) => {
    const random = randomSource(columns);
    const stride = Math.ceil(columns / 16) * 16;
    // Far from zero, the mean is large beside what varies.
    for (const [offset, epsilon] of [
      [0, 1e-5],
      [100, 1e-5],
      [0, 10],
    ]) {
      const rows = 2;
      const x = lab.take(rows * stride, NaN);
      for (let r = 0; r < rows; r++) {
        x.f32.set(
          normalNumbers(columns, random).map((value) => value + offset),
          r * stride,
        );
      }
      const [weight, bias] = [normalNumbers(columns, random), normalNumbers(columns, random)].map((v) =>
        lab.numbers(v),
      );
      const y = lab.take(rows * stride, 5);
      const hasBias = epsilon < 1 || offset > 0;
      if (!hasBias) {
        bias.f32.fill(0);
      }
      lab.kernels.layer_norm(
        x.address,
        weight.address,
        hasBias ? bias.address : 0,
        y.address,
        rows,
        columns,
        stride * 4,
        epsilon,
      );
      for (let r = 0; r < rows; r++) {
        const row = Float64Array.from(x.f32.subarray(r * stride, r * stride + columns));
        const mean = row.reduce((sum, value) => sum + value, 0) / columns;
        const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns;
        const scale = 1 / Math.sqrt(variance + Math.fround(epsilon));
        const expected = row.map((value, c) => (value - mean) * scale * weight.f32[c] + bias.f32[c]);
        // The mean errs by u * sqrt(n) / 2 of the largest number: all deviations do.
        const largest = Math.max(...row.map(Math.abs));
        const deviation = UNIT_ROUNDOFF * (0.5 * Math.sqrt(columns) + 1) * largest * scale;
        const { ratio, text } = worstError(
          y.f32.subarray(r * stride, r * stride + columns),
          expected,
          (i) =>
            2 * deviation * Math.abs(weight.f32[i]) +
            allowedRelative(columns) * (Math.abs(expected[i]) + Math.abs(bias.f32[i])),
        );
        expect(ratio, `row ${r}: ${text}`).toBeLessThanOrEqual(1);
        expect(y.f32.subarray(r * stride + columns, (r + 1) * stride).every((v) => v === 5)).toBe(true);
      }
      lab.checkGuards();
      lab.reset();
    }
  });
});
