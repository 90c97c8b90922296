import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { gateKernel, gateWorkgroups } from "./gate.gpu.ts";

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

async function gate(x: Float32Array, columns: number): Promise<Float32Array> {
  const rows = x.length / columns / 2;
  const output = lab.buffer(rows * columns);
  await lab.run(gateKernel(columns), [lab.buffer(x), output], gateWorkgroups(columns, rows));
  return lab.read(output);
}

test.each([1, 7, 64, 300, 1028])("%i columns", async (columns) => {
  const x = normalNumbers(3 * 2 * columns, randomSource(columns), 6);
  const at = (i: number): number => 2 * (i - (i % columns)) + (i % columns);
  const expected = Float64Array.from({ length: 3 * columns }, (_, i) => {
    const z = x[at(i)];
    return (z / (1 + Math.exp(-z))) * x[at(i) + columns];
  });
  // WGSL's exp(-|z|) errs by 3 + 2 |z| ulp (two u each), which counts fully where z < 0; then four operations, the
  // division among them with 2.5 ulp.
  const { ratio, text } = worstError(
    await gate(x, columns),
    expected,
    (i) => (2 * (3 + 2 * Math.abs(x[at(i)])) + 8) * UNIT_ROUNDOFF * Math.abs(expected[i]),
  );
  expect(ratio, text).toBeLessThanOrEqual(1);
});

test("numbers far out", async () => {
  const columns = 8;
  const z = [0, -0, 88, 1e4, 1e38, -1e4, -1e38, -90];
  const output = await gate(Float32Array.of(...z, ...Array<number>(columns).fill(2)), columns);
  // + 0: an adapter need not keep the sign of zero.
  const exact = [...output.subarray(0, 7)].map((value) => value + 0);
  expect(exact).toEqual([0, 0, 176, 2e4, Math.fround(2e38), 0, 0]);
  // 2 · -90 · e^-90 is subnormal: right to its last bits, or flushed.
  expect(output[7]).toBeLessThanOrEqual(0);
  expect(output[7]).toBeGreaterThan(-2e-37);
});
