import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { normKernel, normParams, type NormShape } from "./norm.gpu.ts";

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

const ROWS = 3;
const OFFSET = 7;
const EPSILON = 1e-5;

/** Normalises rows of numbers by the kernel; gain and bias lie somewhere in the vectors. */
async function normalize(
  shape: NormShape,
  variant: { subgroups: boolean; workgroup: number },
  x: Float32Array,
  gain: Float32Array,
  bias: Float32Array,
): Promise<Float32Array> {
  const output = lab.buffer(shape.add === true ? x.map((_, i) => i % 7) : x.length);
  await lab.run(
    normKernel(shape, variant),
    [
      lab.buffer(x),
      lab.buffer(Float32Array.of(...new Float32Array(OFFSET).fill(NaN), ...gain, ...bias)),
      output,
      lab.uniform(normParams({ gain: OFFSET, bias: OFFSET + shape.columns, epsilon: EPSILON })),
    ],
    [x.length / shape.columns],
  );
  return lab.read(output);
}

/** The norm of rows in f64. */
function reference(kind: NormShape["kind"], x: Float32Array, gain: Float32Array): Float64Array {
  const columns = gain.length;
  return Float64Array.from(x, (value, i) => {
    const row = Float64Array.from(x.subarray(i - (i % columns), i - (i % columns) + columns));
    const mean = kind === "rms" ? 0 : row.reduce((sum, v) => sum + v, 0) / columns;
    const squares = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / columns;
    return ((value - mean) / Math.sqrt(squares + Math.fround(EPSILON))) * gain[i % columns];
  });
}

describe.each([
  { subgroups: true, workgroup: 256 },
  { subgroups: false, workgroup: 256 },
  { subgroups: true, workgroup: 16 },
])("subgroups: $subgroups, $workgroup invocations", (variant) => {
  test.each([1, 5, 64, 256, 257, 2048])("root mean square of %i columns", async (columns) => {
    const random = randomSource(columns);
    const x = normalNumbers(ROWS * columns, random, 3);
    const gain = normalNumbers(columns, random);
    const expected = reference("rms", x, gain);
    const found = await normalize({ kind: "rms", columns, bias: false }, variant, x, gain, gain);
    // The mean is a sum of squares: its relative error stays below that of one addition chain a thread.
    const { ratio, text } = worstError(
      found,
      expected,
      (i) => (8 + Math.sqrt(columns)) * UNIT_ROUNDOFF * Math.abs(expected[i]),
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  test("what is added to what the output has", async () => {
    const columns = 37;
    const random = randomSource(columns);
    const x = normalNumbers(ROWS * columns, random, 3);
    const gain = normalNumbers(columns, random);
    const expected = reference("rms", x, gain).map((value, i) => value + (i % 7));
    const shape = { kind: "rms", columns, bias: false, add: true } as const;
    const found = await normalize(shape, variant, x, gain, gain);
    const allowed = (i: number): number => 16 * UNIT_ROUNDOFF * (Math.abs(expected[i]) + 14);
    const { ratio, text } = worstError(found, expected, allowed);
    expect(ratio, text).toBeLessThanOrEqual(1);
  });

  // A mean of 3000 deviations has squares whose difference f32 cannot tell.
  test.each([
    [5, 0, true],
    [64, -1, true],
    [257, 3, false],
    [768, 9000, true],
    [2048, 0.5, true],
  ])("layer norm of %i columns around %f, bias %s", async (columns, center, hasBias) => {
    const random = randomSource(columns);
    const x = normalNumbers(ROWS * columns, random, 3).map((value) => value + center);
    const gain = normalNumbers(columns, random);
    const bias = normalNumbers(columns, random);
    const normed = reference("layer", x, gain);
    const expected = normed.map((value, i) => value + (hasBias ? bias[i % columns] : 0));
    const found = await normalize({ kind: "layer", columns, bias: hasBias }, variant, x, gain, bias);
    // What the mean may err by after its correction is a rounding of the differences, not of the mean.
    const { ratio, text } = worstError(
      found,
      expected,
      (i) =>
        UNIT_ROUNDOFF *
        ((8 + Math.sqrt(columns)) * (Math.abs(normed[i]) + Math.abs(gain[i % columns])) +
          Math.abs(expected[i])),
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
  });
});

test("layer norm of equal numbers is the bias", async () => {
  const columns = 300;
  const x = new Float32Array(columns).fill(1234.567);
  const [gain, bias] = [new Float32Array(columns).fill(2), normalNumbers(columns, randomSource(1))];
  const variant = { subgroups: false, workgroup: 256 };
  const found = await normalize({ kind: "layer", columns, bias: true }, variant, x, gain, bias);
  // What is left of 1234.567 after its mean is a rounding, over the root of epsilon.
  const { ratio, text } = worstError(found, bias, () => 1234.567 * 2 ** -22 * 600);
  expect(ratio, text).toBeLessThanOrEqual(1);
});
