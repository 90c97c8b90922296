/** Packing and looking up: every bit that went in comes out. */
import { afterEach, describe, expect, test } from "vitest";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { randomMatrix, randomSource, type Format } from "../../../test/support/numbers.ts";

const FORMATS: readonly Format[] = ["bf16", "f16", "f32", "i8-row"];

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  describe.each(FORMATS)("%s", (format) => {
    test.each([1, 2, 3, 4, 5, 7, 8, 17, 31, 33, 255, 257, 4097])("%i columns", (columns) => {
      const random = randomSource(columns);
      for (const rows of columns > 1000 ? [1, 17] : [1, 15, 16, 17, 31, 33]) {
        const matrix = randomMatrix(format, rows, columns, random, true);
        const table = lab.matrix(matrix);
        const out = lab.take(columns);
        for (let row = 0; row < rows; row++) {
          out.f32.fill(NaN);
          lab.kernels.embed(table.address, table.panels, row, columns, out.address, table.format);
          const expected = Float32Array.from(matrix.values.subarray(row * columns, (row + 1) * columns));
          // Bits are compared, since zeros have signs.
          expect(out.i32).toEqual(new Int32Array(expected.buffer));
        }
        // The rows that complete the last panel are zeros, not what was in memory.
        for (let row = rows; row % 16 !== 0; row++) {
          lab.kernels.embed(table.address, table.panels, row, columns, out.address, table.format);
          expect(out.f32.every((value) => value === 0)).toBe(true);
        }
        lab.checkGuards();
        lab.reset();
      }
    });
  });

  test("rows may lie apart in the source", () => {
    const source = lab.take(16 * 5, 9);
    for (let r = 0; r < 16; r++) {
      for (let c = 0; c < 3; c++) {
        source.f32[5 * r + c] = 10 * r + c;
      }
    }
    const panel = lab.take(16 * 3);
    lab.kernels.pack_panel(source.address, 20, 3, 16, panel.address, 0, 1, 0);
    const out = lab.take(3);
    for (let r = 0; r < 16; r++) {
      lab.kernels.embed(panel.address, 1, r, 3, out.address, 0);
      expect([...out.f32]).toEqual([10 * r, 10 * r + 1, 10 * r + 2]);
    }
  });
});
