import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { elementwiseWorkgroups } from "../common/elementwise.gpu.ts";
import { addKernel } from "./add.gpu.ts";

const ROWS = 5;

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

test.each([1, 64, 256, 300, 515])("%i columns", async (columns) => {
  const random = randomSource(columns);
  // The row behind the pass must stay as it is.
  const count = (ROWS + 1) * columns;
  const [input, before] = [normalNumbers(count, random), normalNumbers(count, random)];
  const target = lab.buffer(before);
  await lab.run(addKernel(columns), [lab.buffer(input), target], elementwiseWorkgroups(columns, ROWS));
  // One addition, correctly rounded.
  const expected = before.map((value, i) => (i < ROWS * columns ? value + input[i] : value));
  expect(await lab.read(target)).toEqual(expected);
});
