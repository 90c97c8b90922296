/** The router's choice on the GPU, against f64 and a sort. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { routeKernel } from "./route.gpu.ts";

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

async function route(
  rows: readonly (readonly number[])[],
  chosen: number,
  normalize: boolean,
  workgroup = 16,
) {
  const experts = rows[0].length;
  const output = lab.buffer(rows.length * 2 * chosen);
  const spec = routeKernel({ experts, chosen, normalize }, workgroup);
  await lab.run(spec, [lab.buffer(Float32Array.from(rows.flat())), output], [rows.length]);
  const found = await lab.read(output);
  return rows.map((_, r) => ({
    experts: [...found.subarray(r * 2 * chosen, (2 * r + 1) * chosen)],
    weights: [...found.subarray((2 * r + 1) * chosen, (r + 1) * 2 * chosen)],
  }));
}

test.each([
  [1, 1, 16],
  [5, 2, 16],
  [8, 8, 256],
  [129, 7, 64],
])("%i experts, %i chosen, %i invocations", async (experts, chosen, workgroup) => {
  const random = randomSource(experts);
  const rows = Array.from({ length: 3 }, () => [...normalNumbers(experts, random, 4)]);
  for (const normalize of [false, true]) {
    for (const [r, found] of (await route(rows, chosen, normalize, workgroup)).entries()) {
      const row = rows[r];
      const expected = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, chosen);
      expected.sort((a, b) => a - b);
      expect(found.experts).toEqual(expected);
      const powers = row.map((logit) => Math.exp(logit - Math.max(...row)));
      const total = (normalize ? expected.map((e) => powers[e]) : powers).reduce((sum, p) => sum + p, 0);
      for (const [i, e] of expected.entries()) {
        expect(Math.abs(found.weights[i] / (powers[e] / total) - 1)).toBeLessThan(3e-6);
      }
    }
  }
});

test("of equal logits the first, and -0 is 0", async () => {
  expect((await route([[1, 2, 2, 2, 0, 2]], 2, false))[0].experts).toEqual([1, 2]);
  expect((await route([[-0, 0, -0, -1]], 2, true))[0]).toEqual({ experts: [0, 1], weights: [0.5, 0.5] });
  expect((await route([[0, -0, -1]], 1, true))[0].experts).toEqual([0]);
  expect((await route([[-3, -2, -2.5]], 2, true))[0].experts).toEqual([1, 2]);
});

test("whatever is no number chooses experts that there are", async () => {
  const [one, all] = await route(
    [
      [1, 2, NaN, 3],
      [NaN, NaN, NaN, NaN],
    ],
    2,
    true,
  );
  expect([one.experts, all.experts]).toEqual([
    [2, 3],
    [0, 1],
  ]);
});
