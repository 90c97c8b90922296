import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import { rowWords } from "../../../test/support/rows.ts";
import { elementwiseWorkgroups } from "../common/elementwise.gpu.ts";
import { ropeKernel, ropePairs } from "./rope.gpu.ts";

const POSITIONS = [3, 0, 11, 4, 7];
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

test.each([
  [1, 2, 2],
  [3, 8, 8],
  [2, 6, 4],
  [5, 128, 128],
  [3, 12, 2],
])("%i heads of %i, %i of them rotated", async (heads, headDim, rotary) => {
  const random = randomSource(headDim);
  const half = rotary / 2;
  const columns = heads * headDim;
  // The row behind the pass must stay as it is, though there is a workgroup for it.
  const x = normalNumbers((ROWS + 1) * columns, random);
  const angles = normalNumbers(CONTEXT * half, random, 3);
  const table = Float32Array.from({ length: 2 * CONTEXT * half }, (_, i) =>
    i % 2 === 0 ? Math.cos(angles[i >> 1]) : Math.sin(angles[i >> 1]),
  );
  const buffer = lab.buffer(x);
  const shape = { heads, headDim, rotary };
  await lab.run(
    ropeKernel(shape, MAX_ROWS),
    [buffer, lab.buffer(table), lab.buffer(rowWords(MAX_ROWS, { positions: POSITIONS }))],
    elementwiseWorkgroups(ropePairs(shape), ROWS + 1),
  );
  const expected = Float64Array.from(x);
  const length = new Float64Array(x.length);
  for (let r = 0; r < ROWS; r++) {
    for (let at = r * columns; at < (r + 1) * columns; at += headDim) {
      for (let i = 0; i < half; i++) {
        const turn = (POSITIONS[r] * half + i) * 2;
        const [a, b, c, s] = [x[at + i], x[at + half + i], table[turn], table[turn + 1]];
        expected[at + i] = a * c - b * s;
        expected[at + half + i] = b * c + a * s;
        length[at + i] = length[at + half + i] = Math.hypot(a, b);
      }
    }
  }
  // Two products and a sum, each rounded once (or contracted).
  const allowed = (i: number): number => 3 * UNIT_ROUNDOFF * length[i];
  const { ratio, text } = worstError(await lab.read(buffer), expected, allowed);
  expect(ratio, text).toBeLessThanOrEqual(1);
});
