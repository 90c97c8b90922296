import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { ropeAppendKernel, ropeAppendWorkgroups } from "./rope-append.gpu.ts";

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

const SLOTS = 3;
/** Rows of several slots, with positions in no order; the last two are of one slot. */
const ROWS = { slots: [2, 0, 2, 1, 1], positions: [0, 6, 3, 10, 5] };

test.each([
  { heads: 1, kvHeads: 1, headDim: 2, rotary: 2 },
  { heads: 6, kvHeads: 2, headDim: 32, rotary: 32 },
  { heads: 6, kvHeads: 2, headDim: 32, rotary: 0 },
  { heads: 4, kvHeads: 4, headDim: 12, rotary: 8 },
  { heads: 5, kvHeads: 1, headDim: 256, rotary: 64 },
])("$heads and $kvHeads heads of $headDim, $rotary rotated", async ({ heads, kvHeads, headDim, rotary }) => {
  const context = 11;
  const random = randomSource(heads * headDim + rotary);
  const rows = ROWS.positions.length;
  const width = (heads + 2 * kvHeads) * headDim;
  const qkv = normalNumbers(rows * width, random);
  const table = new Float32Array(context * rotary);
  for (let i = 0; i < table.length; i += 2) {
    const angle = 7 * random();
    table.set([1.2 * Math.cos(angle), 1.2 * Math.sin(angle)], i);
  }
  const cacheBefore = normalNumbers(SLOTS * context * kvHeads * headDim, random);
  const [keys, values] = [lab.buffer(cacheBefore), lab.buffer(cacheBefore)];
  const query = lab.buffer(rows * heads * headDim);
  const shape = { heads, kvHeads, headDim, context, rotary, maxRows: rows + 2 };
  const spec = ropeAppendKernel(shape);
  await lab.run(
    spec,
    [
      lab.buffer(qkv),
      query,
      keys,
      values,
      lab.buffer(rowWords(rows + 2, ROWS)),
      ...(rotary > 0 ? [lab.buffer(table)] : []),
    ],
    // One row too many, which the kernel leaves alone.
    ropeAppendWorkgroups(shape, rows + 1),
  );

  const expected = {
    query: new Float64Array(rows * heads * headDim),
    keys: Float64Array.from(cacheBefore),
    values: Float64Array.from(cacheBefore),
  };
  for (let r = 0; r < rows; r++) {
    const [slot, position] = [ROWS.slots[r], ROWS.positions[r]];
    for (let head = 0; head < heads + 2 * kvHeads; head++) {
      const x = Float64Array.from(qkv.subarray(r * width + head * headDim, r * width + (head + 1) * headDim));
      if (head < heads + kvHeads) {
        for (let i = 0; i < rotary / 2; i++) {
          const [cos, sin] = table.subarray(position * rotary + 2 * i);
          const [a, b] = [x[i], x[i + rotary / 2]];
          x[i] = a * cos - b * sin;
          x[i + rotary / 2] = b * cos + a * sin;
        }
      }
      const cell = (slot * context + position) * kvHeads;
      if (head < heads) {
        expected.query.set(x, (r * heads + head) * headDim);
      } else if (head < heads + kvHeads) {
        expected.keys.set(x, (cell + head - heads) * headDim);
      } else {
        expected.values.set(x, (cell + head - heads - kvHeads) * headDim);
      }
    }
  }
  const largest = 1.2 * Math.SQRT2 * Math.max(...qkv.map(Math.abs));
  for (const [buffer, wanted] of [
    [query, expected.query],
    [keys, expected.keys],
  ] as const) {
    const allowed = rotary > 0 ? 3 * UNIT_ROUNDOFF * largest : 0;
    const { ratio, text } = worstError(await lab.read(buffer), wanted, () => allowed);
    expect(ratio, text).toBeLessThanOrEqual(1);
  }
  // Copies are exact, and what no row names stays as it was.
  expect([...(await lab.read(values))]).toEqual([...expected.values]);
});
