/** The gate of gated linear units, with every activation; and SwiGLU's at the ends of the range. */
import { afterEach, describe, expect, test } from "vitest";
import { ACTIVATIONS, clampedGate, clampedGateBound } from "../../../test/support/activations.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import type { Activation } from "../activate/activation.ts";
import { ACTIVATION_CODE } from "../wasm-module.ts";

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
    lab.kernels.gate(gate.address, up.address, y.address, 1, z.length, 0, ACTIVATION_CODE.silu);
    return y.f32.slice();
  }

  test.each(
    (Object.keys(ACTIVATIONS) as Activation[]).flatMap((name) =>
      [4, 16, 48, 256].map((columns) => [name, columns] as const),
    ),
  )("%s, %i columns in rows", (name, columns) => {
    const random = randomSource(columns);
    const stride = columns + 4;
    for (const inPlace of [false, true]) {
      const gate = lab.numbers(normalNumbers(3 * stride, random, 4));
      const up = lab.numbers(normalNumbers(3 * stride, random));
      const y = inPlace ? gate : lab.take(3 * stride, 7);
      const before = y.f32.slice();
      // Roundings of the activation (activate.test.ts), relative to its argument, and one of the product.
      const factor = (z: number): number =>
        name === "silu" ? Math.abs(ACTIVATIONS.silu.exact(z)) : Math.abs(z);
      const allowed = Float64Array.from(
        gate.f32,
        (z, i) => 7 * UNIT_ROUNDOFF * factor(z) * Math.abs(up.f32[i]),
      );
      const expected = Float64Array.from(gate.f32, (z, i) =>
        i % stride < columns ? ACTIVATIONS[name].exact(z) * up.f32[i] : before[i],
      );
      lab.kernels.gate(gate.address, up.address, y.address, 3, columns, stride * 4, ACTIVATION_CODE[name]);
      const { ratio, text } = worstError(y.f32, expected, (i) => allowed[i]);
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test.each([
    [1.702, 7],
    [0.5, 0.25],
  ])("clamped, alpha %f, limit %f", (alpha, limit) => {
    const random = randomSource(7);
    const [columns, stride] = [48, 52];
    const gate = lab.numbers(normalNumbers(3 * stride, random, 8));
    const up = lab.numbers(normalNumbers(3 * stride, random, 8));
    gate.f32.set([NaN, 1, 1e38, -1e38, -Infinity]);
    up.f32.set([1, NaN, -1e38, 1e38, 2]);
    const before = gate.f32.slice();
    lab.kernels.gate_clamped(gate.address, up.address, gate.address, 3, columns, stride * 4, alpha, limit);
    expect([gate.f32[0], gate.f32[1]]).toEqual([NaN, NaN]);
    const expected = Float64Array.from(before, (value, i) =>
      i % stride < columns ? clampedGate(value, up.f32[i], { alpha, limit }) : value,
    );
    const { ratio, text } = worstError(gate.f32.subarray(5), expected.subarray(5), (i) =>
      clampedGateBound(before[5 + i], expected[5 + i], { alpha, limit }),
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
    // A gate of -1e38 leaves nothing but what the end of the exponential does.
    expect([gate.f32[2], Math.abs(gate.f32[3]) < 10, gate.f32[4] === -Infinity || gate.f32[4] === 0]).toEqual(
      [Math.fround(expected[2]), true, true],
    );
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
