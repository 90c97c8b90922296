import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { activationBound, ACTIVATIONS } from "../../../test/support/activations.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { worstError } from "../../../test/support/numbers.ts";
import type { Activation } from "./activation.ts";
import { elementwiseWorkgroups } from "../common/elementwise.gpu.ts";
import { activateKernel } from "./activate.gpu.ts";

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

/** The activation of x, a row; the buffers have another row behind it. */
async function activate(activation: Activation, x: Float32Array, inPlace: boolean): Promise<Float32Array> {
  const both = Float32Array.of(...x, ...x);
  const output = lab.buffer(inPlace ? both : both.length);
  await lab.run(
    activateKernel(x.length, activation, inPlace),
    inPlace ? [output] : [lab.buffer(both), output],
    elementwiseWorkgroups(x.length, 1),
  );
  const found = await lab.read(output);
  if (inPlace) {
    expect(found.subarray(x.length)).toEqual(x);
  }
  return found.subarray(0, x.length);
}

describe.each(Object.keys(ACTIVATIONS) as Activation[])("%s", (activation) => {
  test.each([false, true])("over the whole range, in place %s", async (inPlace) => {
    const x = Float32Array.from({ length: 20_003 }, (_, i) => (i - 10_001) / 500); // to 20 on both sides
    const expected = Float64Array.from(x, ACTIVATIONS[activation].exact);
    const found = await activate(activation, x, inPlace);
    const { ratio, text } = worstError(found, expected, (i) => activationBound(activation, x[i]));
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("at the ends", async () => {
    const x = Float32Array.of(0, -0, 1e-30, -1e-30, 100, -100, 1e18, -1e18, 3e38, -3e38, Infinity, NaN);
    const [zero, minusZero, small, minusSmall, ...large] = await activate(activation, x, false);
    expect([zero, minusZero].map(Math.abs)).toEqual([0, 0]);
    const half = activation === "relu" ? 1 : 0.5;
    expect(small).toBeCloseTo(half * 1e-30, 35);
    expect(minusSmall).toBeCloseTo(activation === "relu" ? 0 : -0.5e-30, 35);
    const [hundred, minusHundred, huge, minusHuge, most, least, infinite, nan] = large;
    expect([hundred, huge, most, infinite]).toEqual([x[4], x[6], x[8], Infinity]);
    for (const nothing of [minusHundred, minusHuge, least]) {
      expect(Math.abs(nothing)).toBe(0);
    }
    expect(nan).toBeNaN();
  });
});
