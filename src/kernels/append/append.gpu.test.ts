import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { elementwiseWorkgroups } from "../common/elementwise.gpu.ts";
import { appendKernel } from "./append.gpu.ts";

/** Positions of rows of several slots, in no order. */
const POSITIONS = [3, 0, 11, 4, 7];
const SLOTS = [1, 0, 2, 1, 0];
const [ROWS, MAX_ROWS, CONTEXT] = [5, 9, 12];

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
  // A row behind the pass, which must go nowhere though there is a workgroup for it.
  const [key, value] = [0, 1].map(() => normalNumbers((ROWS + 1) * columns, random));
  const expected = [0, 1].map(() => normalNumbers(3 * CONTEXT * columns, random));
  const [keys, values] = expected.map((cache) => lab.buffer(cache));
  const rows = lab.buffer(rowWords(MAX_ROWS, { positions: POSITIONS, slots: SLOTS }));
  await lab.run(
    appendKernel(columns, CONTEXT, MAX_ROWS),
    [lab.buffer(key), lab.buffer(value), keys, values, rows],
    elementwiseWorkgroups(columns, ROWS + 1),
  );
  for (const [r, position] of POSITIONS.entries()) {
    const cell = (SLOTS[r] * CONTEXT + position) * columns;
    expected[0].set(key.subarray(r * columns, (r + 1) * columns), cell);
    expected[1].set(value.subarray(r * columns, (r + 1) * columns), cell);
  }
  expect(await lab.read(keys)).toEqual(expected[0]);
  expect(await lab.read(values)).toEqual(expected[1]);
});
