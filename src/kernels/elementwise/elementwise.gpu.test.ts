import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import {
  activateKernel,
  addKernel,
  appendKernel,
  elementwiseWorkgroups,
  rotateKernel,
} from "./elementwise.gpu.ts";

const MAX_ROWS = 9;
/** Rows of a pass; the buffers have one more, which kernels must leave alone. */
const ROWS = 5;
const POSITIONS = [3, 0, 11, 4, 7];
const SLOTS = [1, 0, 2, 1, 0];

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

const rows = () => lab.buffer(rowWords(MAX_ROWS, { positions: POSITIONS, slots: SLOTS }));

function expectNumbers(
  found: Float32Array,
  expected: Float64Array,
  allowed: (index: number) => number = () => 0,
): void {
  const { ratio, text } = worstError(found, expected, allowed);
  expect(ratio, text).toBeLessThanOrEqual(1);
}

describe.each([1, 64, 256, 300, 515])("%i columns", (columns) => {
  const random = randomSource(columns);
  const count = (ROWS + 1) * columns;
  const inPass = (i: number): boolean => i < ROWS * columns;

  test("add", async () => {
    const [input, target] = [normalNumbers(count, random), normalNumbers(count, random)];
    const output = lab.buffer(target);
    const groups = elementwiseWorkgroups(columns, ROWS);
    await lab.run(addKernel(columns, MAX_ROWS), [lab.buffer(input), output, rows()], groups);
    // One addition, correctly rounded.
    const expected = Float64Array.from(target, (value, i) =>
      inPass(i) ? Math.fround(value + input[i]) : value,
    );
    expectNumbers(await lab.read(output), expected);
  });

  test("activate", async () => {
    const [gate, up] = [normalNumbers(count, random, 6), normalNumbers(count, random)];
    if (columns > 4) gate.set([-100, 100, 0, -0]); // beyond f32's exp; zeros of both signs
    const output = lab.buffer(gate);
    const groups = elementwiseWorkgroups(columns, ROWS);
    await lab.run(activateKernel(columns, MAX_ROWS), [output, lab.buffer(up), rows()], groups);
    const expected = Float64Array.from(gate, (z, i) => (inPass(i) ? (z / (1 + Math.exp(-z))) * up[i] : z));
    // exp of WGSL may be 3 + 2 |z| ULP off, the division 2.5; behind the pass nothing changes.
    const ulps = (i: number): number => 2 * (3 + 2 * Math.abs(gate[i])) + 8;
    expectNumbers(await lab.read(output), expected, (i) =>
      inPass(i) ? ulps(i) * UNIT_ROUNDOFF * Math.abs(expected[i]) + 2 ** -126 : 0,
    );
  });

  test("append", async () => {
    const [slots, context] = [3, 12];
    const cells = slots * context * columns;
    const [key, value] = [normalNumbers(count, random), normalNumbers(count, random)];
    const caches = [normalNumbers(cells, random), normalNumbers(cells, random)];
    const [keys, values] = caches.map((cache) => lab.buffer(cache));
    await lab.run(
      appendKernel(columns, context, MAX_ROWS),
      [lab.buffer(key), lab.buffer(value), keys, values, rows()],
      elementwiseWorkgroups(columns, ROWS),
    );
    for (const [r, position] of POSITIONS.entries()) {
      const cell = (SLOTS[r] * context + position) * columns;
      caches[0].set(key.subarray(r * columns, (r + 1) * columns), cell);
      caches[1].set(value.subarray(r * columns, (r + 1) * columns), cell);
    }
    expectNumbers(await lab.read(keys), Float64Array.from(caches[0]));
    expectNumbers(await lab.read(values), Float64Array.from(caches[1]));
  });
});

test.each([
  [1, 2],
  [3, 8],
  [2, 6],
  [5, 128],
])("rotate: %i heads of %i", async (heads, headDim) => {
  const random = randomSource(headDim);
  const half = headDim / 2;
  const columns = heads * headDim;
  const x = normalNumbers((ROWS + 1) * columns, random);
  const angles = normalNumbers(12 * half, random, 3);
  const rope = Float32Array.from({ length: 24 * half }, (_, i) =>
    i % 2 === 0 ? Math.cos(angles[i >> 1]) : Math.sin(angles[i >> 1]),
  );
  const buffer = lab.buffer(x);
  const groups = elementwiseWorkgroups(columns / 2, ROWS);
  await lab.run(rotateKernel(heads, headDim, MAX_ROWS), [buffer, lab.buffer(rope), rows()], groups);
  const expected = Float64Array.from(x);
  const length = new Float64Array(x.length);
  for (let r = 0; r < ROWS; r++) {
    for (let at = r * columns; at < (r + 1) * columns; at += headDim) {
      for (let i = 0; i < half; i++) {
        const turn = (POSITIONS[r] * half + i) * 2;
        const [a, b, c, s] = [x[at + i], x[at + half + i], rope[turn], rope[turn + 1]];
        expected[at + i] = a * c - b * s;
        expected[at + half + i] = b * c + a * s;
        length[at + i] = length[at + half + i] = Math.hypot(a, b);
      }
    }
  }
  // Two products and a sum, each rounded once (or contracted).
  expectNumbers(await lab.read(buffer), expected, (i) => 3 * UNIT_ROUNDOFF * length[i]);
});
