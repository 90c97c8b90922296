import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { halfWords, normalNumbers, randomSource } from "../../../test/support/numbers.ts";
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
    appendKernel(columns, CONTEXT, MAX_ROWS, "f32"),
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

/** Numbers around every border of rounding to float16. */
const BORDERS = [
  0,
  -0,
  1,
  -1.5,
  65504,
  65519,
  65519.996,
  65520,
  -65520,
  1e30,
  -3e38,
  Infinity,
  -Infinity,
  NaN,
  2 ** -14,
  2 ** -14 - 2 ** -25,
  2 ** -14 - 2 ** -26,
  2 ** -15,
  3 * 2 ** -24,
  2 ** -24,
  2 ** -25,
  2 ** -25 + 2 ** -40,
  1.5 * 2 ** -24,
  2.5 * 2 ** -24,
  -(2 ** -26),
  2 ** -26 * 1.9,
  1e-30,
  1 + 2 ** -11,
  1 + 2 ** -10,
  1 + 3 * 2 ** -11,
  1 + 2 ** -11 + 2 ** -20,
  2047.5,
  2048.5,
  4095,
  4097,
  4099,
  -2049,
  1023.75,
];

test("float16: rounded to nearest, ties to even, saturated; a neighbour of another row stays", async () => {
  const random = randomSource(5);
  const columns = 2 * BORDERS.length;
  const numbers = Array.from({ length: ROWS * columns }, (_, i) =>
    i < BORDERS.length ? BORDERS[i] : Math.fround((random() - 0.5) * 2 ** (40 * random() - 28)),
  );
  const key = Float32Array.from(numbers);
  const value = Float32Array.from(numbers.toReversed());
  const before = halfWords(normalNumbers(3 * CONTEXT * columns, random));
  const caches = [lab.buffer(before), lab.buffer(before)];
  const rows = lab.buffer(rowWords(MAX_ROWS, { positions: POSITIONS, slots: SLOTS }));
  await lab.run(
    appendKernel(columns, CONTEXT, MAX_ROWS, "f16"),
    [lab.buffer(key), lab.buffer(value), ...caches, rows],
    elementwiseWorkgroups(columns, ROWS),
  );
  for (const [c, given] of [key, value].entries()) {
    const expected = before.slice();
    for (const [r, position] of POSITIONS.entries()) {
      const row = halfWords(given.subarray(r * columns, (r + 1) * columns));
      expected.set(row, (SLOTS[r] * CONTEXT + position) * columns);
    }
    const found = new Uint16Array((await lab.readWords(caches[c])).buffer).slice(0, expected.length);
    expect([...found]).toEqual([...expected]);
  }
});
