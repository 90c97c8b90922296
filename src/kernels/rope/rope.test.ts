/** Rotary embedding against complex multiplication in f64. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  test.each([2, 4, 6, 8, 10, 12, 24, 40, 64, 128])("heads of %i", (headDim) => {
    const random = randomSource(headDim);
    const half = headDim / 2;
    for (const [rows, heads] of [
      [1, 1],
      [3, 5],
    ]) {
      const stride = heads * headDim + 3;
      const x = lab.numbers(normalNumbers(rows * stride, random));
      const before = x.f32.slice();
      const table = lab.take(rows * headDim);
      for (let r = 0; r < rows; r++) {
        for (let i = 0; i < half; i++) {
          const angle = (r + 7) * 10_000 ** (-i / half);
          table.f32[r * headDim + i] = Math.cos(angle);
          table.f32[r * headDim + half + i] = Math.sin(angle);
        }
      }
      lab.kernels.rope(x.address, stride * 4, table.address, rows, heads, headDim, headDim);

      const expected = Float64Array.from(before);
      const size = new Float64Array(before.length);
      for (let r = 0; r < rows; r++) {
        for (let h = 0; h < heads; h++) {
          for (let i = 0; i < half; i++) {
            const [re, im] = [r * stride + h * headDim + i, r * stride + h * headDim + half + i];
            const [c, s] = [table.f32[r * headDim + i], table.f32[r * headDim + half + i]];
            expected[re] = before[re] * c - before[im] * s;
            expected[im] = before[im] * c + before[re] * s;
            size[re] = size[im] = Math.hypot(before[re], before[im]);
          }
        }
      }
      // Two products and a difference, each rounded once. What lies between rows stays as it is.
      const { ratio, text } = worstError(x.f32, expected, (i) => 2 * UNIT_ROUNDOFF * size[i]);
      expect(ratio, text).toBeLessThanOrEqual(1);
      lab.checkGuards();
      lab.reset();
    }
  });

  test.each([
    [12, 4],
    [64, 32],
    [24, 10],
  ])("heads of %i of which %i channels turn", (headDim, rotary) => {
    const half = rotary / 2;
    const x = lab.numbers(normalNumbers(3 * headDim, randomSource(rotary)));
    const before = x.f32.slice();
    const table = lab.numbers(Array.from({ length: rotary }, (_, i) => (i < half ? 0 : 1)));
    lab.kernels.rope(x.address, 0, table.address, 1, 3, headDim, rotary);
    const expected = before.map((value, i) => {
      const channel = i % headDim;
      if (channel >= rotary) {
        return value;
      }
      return channel < half ? 0 - before[i + half] : before[i - half];
    });
    expect([...x.f32]).toEqual([...expected]);
  });

  test("position 0 changes nothing, a quarter turn swaps the halves", () => {
    const x = lab.numbers([1, 2, 3, 4, 5, 6, 7, 8]);
    const table = lab.numbers([1, 1, 0, 0]);
    lab.kernels.rope(x.address, 16, table.address, 1, 2, 4, 4);
    expect([...x.f32]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    table.f32.set([0, 0, 1, 1]);
    lab.kernels.rope(x.address, 16, table.address, 1, 2, 4, 4);
    expect([...x.f32]).toEqual([-3, -4, 1, 2, -7, -8, 5, 6]);
  });
});
