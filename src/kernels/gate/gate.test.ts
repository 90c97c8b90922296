/** SwiGLU's gate and the exponential under it. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  /** silu(z) = z / (1 + exp(-z)) of every z, times 1. */
  function silu(z: Float32Array): Float32Array {
    const gate = lab.numbers(z);
    const up = lab.take(z.length, 1);
    const y = lab.take(z.length, NaN);
    lab.kernels.gate(gate.address, up.address, y.address, 1, z.length, 0);
    return y.f32.slice();
  }

  test.each([4, 16, 48, 256])("gate, %i columns in rows", (columns) => {
    const random = randomSource(columns);
    const stride = columns + 4;
    for (const inPlace of [false, true]) {
      const gate = lab.numbers(normalNumbers(3 * stride, random, 4));
      const up = lab.numbers(normalNumbers(3 * stride, random));
      const y = inPlace ? gate : lab.take(3 * stride, 7);
      const before = y.f32.slice();
      const expected = Float64Array.from(gate.f32, (z, i) =>
        i % stride < columns ? (z / (1 + Math.exp(-z))) * up.f32[i] : before[i],
      );
      lab.kernels.gate(gate.address, up.address, y.address, 3, columns, stride * 4);
      // The exponential errs by two ulp (four u) at most; then three roundings.
      const { ratio, text } = worstError(y.f32, expected, (i) => 7 * UNIT_ROUNDOFF * Math.abs(expected[i]));
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test("silu at the ends of the range", () => {
    const values = silu(Float32Array.of(0, -0, 87, 1e4, 1e38, -1e4, -1e38, Infinity));
    expect([...values.subarray(0, 5)]).toEqual([0, -0, 87, Math.fround(1e4), Math.fround(1e38)]);
    // Truly -0. The exponential ends at 1.7e38, which leaves this much.
    expect(Math.abs(values[5])).toBeLessThan(1e-33);
    expect(Math.abs(values[6])).toBeLessThan(1);
    expect(values[7]).toBe(Infinity);
    expect(silu(Float32Array.of(NaN, 1, 1, 1))[0]).toBeNaN();
  });
});
