import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { normKernel, normParams } from "./norm.gpu.ts";

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

describe.each([
  { subgroups: true, workgroup: 256 },
  { subgroups: false, workgroup: 256 },
  { subgroups: true, workgroup: 16 },
])("subgroups: $subgroups, $workgroup invocations", (variant) => {
  test.each([1, 5, 64, 256, 257, 2048])("%i columns", async (columns) => {
    const random = randomSource(columns);
    const [rows, offset, epsilon] = [3, 7, 1e-5];
    const x = normalNumbers(rows * columns, random, 3);
    const gain = normalNumbers(columns, random);
    const output = lab.buffer(rows * columns);
    await lab.run(
      normKernel(columns, variant),
      [
        lab.buffer(x),
        lab.buffer(Float32Array.of(...new Float32Array(offset).fill(NaN), ...gain)),
        output,
        lab.uniform(normParams(offset, epsilon)),
      ],
      [rows],
    );
    const expected = Float64Array.from(x, (value, i) => {
      const row = x.subarray(i - (i % columns), i - (i % columns) + columns);
      const mean = row.reduce((sum, v) => sum + v * v, 0) / columns;
      return (value / Math.sqrt(mean + Math.fround(epsilon))) * gain[i % columns];
    });
    // The mean is a sum of squares: its relative error stays below that of one addition chain a thread.
    const { ratio, text } = worstError(
      await lab.read(output),
      expected,
      (i) => (8 + Math.sqrt(columns)) * UNIT_ROUNDOFF * Math.abs(expected[i]),
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
  });
});
