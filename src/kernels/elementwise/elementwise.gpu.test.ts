import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { activationBound, ACTIVATIONS } from "../../../test/support/activations.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import type { Activation } from "../common/activation.gpu.ts";
import {
  activateKernel,
  addKernel,
  appendKernel,
  elementwiseWorkgroups,
  rotateKernel,
  swigluKernel,
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

  test("swiglu", async () => {
    const [gate, up] = [normalNumbers(count, random, 6), normalNumbers(count, random)];
    if (columns > 4) {
      gate.set([-100, 100, 0, -0]);
    } // beyond f32's exp; zeros of both signs
    const output = lab.buffer(gate);
    const groups = elementwiseWorkgroups(columns, ROWS);
    await lab.run(swigluKernel(columns, MAX_ROWS), [output, lab.buffer(up), rows()], groups);
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

describe.each(Object.keys(ACTIVATIONS) as Activation[])("%s", (activation) => {
  /** Of a row of x; the buffers have another row behind it. */
  async function activate(x: Float32Array, inPlace: boolean): Promise<Float32Array> {
    const both = Float32Array.of(...x, ...x);
    const output = lab.buffer(inPlace ? both : both.length);
    const oneRow = lab.buffer(rowWords(MAX_ROWS, { positions: [0] }));
    await lab.run(
      activateKernel(x.length, activation, inPlace, MAX_ROWS),
      [...(inPlace ? [] : [lab.buffer(both)]), output, oneRow],
      elementwiseWorkgroups(x.length, 2),
    );
    const found = await lab.read(output);
    if (inPlace) {
      expect(found.subarray(x.length)).toEqual(x);
    }
    return found.subarray(0, x.length);
  }

  test.each([false, true])("over the whole range, in place %s", async (inPlace) => {
    const x = Float32Array.from({ length: 20_003 }, (_, i) => (i - 10_001) / 500); // to 20 on both sides
    const expected = Float64Array.from(x, ACTIVATIONS[activation].exact);
    expectNumbers(await activate(x, inPlace), expected, (i) => activationBound(activation, x[i]));
  });

  test("at the ends", async () => {
    const x = Float32Array.of(0, -0, 1e-30, -1e-30, 100, -100, 1e18, -1e18, 3e38, -3e38, Infinity, NaN);
    const [zero, minusZero, small, minusSmall, ...large] = await activate(x, false);
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

test.each([
  [1, 2, 2],
  [3, 8, 8],
  [2, 6, 4],
  [5, 128, 128],
  [3, 12, 2],
])("rotate: %i heads of %i, %i of them", async (heads, headDim, rotary) => {
  const random = randomSource(headDim);
  const half = rotary / 2;
  const columns = heads * headDim;
  const x = normalNumbers((ROWS + 1) * columns, random);
  const angles = normalNumbers(12 * half, random, 3);
  const rope = Float32Array.from({ length: 24 * half }, (_, i) =>
    i % 2 === 0 ? Math.cos(angles[i >> 1]) : Math.sin(angles[i >> 1]),
  );
  const buffer = lab.buffer(x);
  const groups = elementwiseWorkgroups(heads * half, ROWS);
  await lab.run(
    rotateKernel({ heads, headDim, rotary }, MAX_ROWS),
    [buffer, lab.buffer(rope), rows()],
    groups,
  );
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
