import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { cacheBuffer, readHalves } from "../../../test/support/gpu-cache.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import {
  nearestF16,
  normalNumbers,
  randomSource,
  UNIT_ROUNDOFF,
  worstError,
} from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import type { CacheFormat } from "../append/append.gpu.ts";
import { ropeAppendKernel, ropeAppendWorkgroups, type RopeAppendShape } from "./rope-append.gpu.ts";

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

test.each<Omit<RopeAppendShape, "context" | "maxRows" | "cache"> & { cache?: CacheFormat }>([
  { heads: 1, kvHeads: 1, headDim: 2, rotary: 2 },
  { heads: 6, kvHeads: 2, headDim: 32, rotary: 32 },
  { heads: 6, kvHeads: 2, headDim: 32, rotary: 0 },
  { heads: 4, kvHeads: 4, headDim: 12, rotary: 8 },
  { heads: 5, kvHeads: 1, headDim: 256, rotary: 64 },
  { heads: 6, kvHeads: 2, headDim: 32, rotary: 32, cache: "f16" },
  { heads: 4, kvHeads: 4, headDim: 12, rotary: 6, cache: "f16" },
])("%o", async ({ heads, kvHeads, headDim, rotary, cache = "f32" }) => {
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
  const isHalf = cache === "f16";
  const numbersBefore = normalNumbers(SLOTS * context * kvHeads * headDim, random);
  const cacheBefore = isHalf ? numbersBefore.map(nearestF16) : numbersBefore;
  const [keys, values] = [cacheBuffer(lab, cacheBefore, cache), cacheBuffer(lab, cacheBefore, cache)];
  const query = lab.buffer(rows * heads * headDim);
  const shape = { heads, kvHeads, headDim, context, rotary, cache, maxRows: rows + 2 };
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
  const allowed = rotary > 0 ? 3 * UNIT_ROUNDOFF * largest : 0;
  const ofQuery = worstError(await lab.read(query), expected.query, () => allowed);
  expect(ofQuery.ratio, ofQuery.text).toBeLessThanOrEqual(1);
  const ofKeys = worstError(
    await (isHalf ? readHalves(lab, keys, expected.keys.length) : lab.read(keys)),
    expected.keys,
    (i) => (isHalf ? allowed + 2 ** -11 * Math.abs(expected.keys[i]) + 2 ** -25 : allowed),
  );
  expect(ofKeys.ratio, ofKeys.text).toBeLessThanOrEqual(1);
  // Copies are exact, or rounded, and what no row names stays as it was.
  const copies = isHalf ? expected.values.map(nearestF16) : expected.values;
  expect([...(await (isHalf ? readHalves(lab, values, copies.length) : lab.read(values)))]).toEqual([
    ...copies,
  ]);
});
