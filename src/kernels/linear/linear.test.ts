/** Products of activations with weights of every format: one row (gemv), many rows (gemm), against f64. */
import { afterEach, describe, expect, test } from "vitest";
import type { Kernels } from "../wasm-module.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import {
  f16Value,
  normalNumbers,
  product,
  randomMatrix,
  randomSource,
  UNIT_ROUNDOFF,
  worstError,
  type Format,
  type StoredMatrix,
} from "../../../test/support/numbers.ts";
import { PANEL } from "../format.ts";
import { roundUp } from "../../runtime/wasm/plan.ts";

const FORMATS = ["bf16", "f16", "f32", "i8-row"] as const;

/** The kernel for one row. */
const GEMV = {
  bf16: "gemv_bf16",
  f16: "gemv_f16",
  f32: "gemv_f32",
  "i8-row": "gemv_i8_row",
} as const satisfies Record<Format, keyof Kernels>;
const SIZES = [1, 3, 17, 31, 33, 255, 257];

/**
 * |error| <= C * sqrt(K) * u * ||a|| * ||b||. A sum of K rounded products errs by u * sqrt(K / 3) * ||a|| * ||b|| on
 * average when all products have one sign, and by less otherwise; two is three and a half of these.
 */
const C = 2;

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  /** y = x * w^T by gemv, as [rows padded to panels]; `before` is y where the product is added to it. */
  function gemv(x: Float32Array, matrix: StoredMatrix, before?: Float32Array): Float32Array {
    const { columns, format, rows } = matrix;
    const width = roundUp(rows, PANEL);
    const weights = lab.matrix(matrix);
    const input = lab.take(roundUp(columns, PANEL));
    input.f32.set(x);
    const y = lab.take(width, before === undefined ? NaN : 0);
    if (before !== undefined) {
      y.f32.set(before);
    }
    let { address } = input;
    if (format === "f16") {
      ({ address } = lab.take(roundUp(columns, PANEL)));
      lab.kernels.scale_f16(input.address, address, roundUp(columns, 4));
    }
    const accumulate = before === undefined ? 0 : 1;
    lab.kernels[GEMV[format]](
      address,
      weights.address,
      weights.panels,
      0,
      weights.panels,
      y.address,
      columns,
      accumulate,
    );
    return y.f32.slice();
  }

  /** y = x * w^T by gemm, `slice` panels a call, as [rows of x][rows of the matrix, padded to panels]. */
  function gemm(x: Float32Array, matrix: StoredMatrix, before?: Float32Array, slice = 1e9): Float32Array {
    const { columns, rows } = matrix;
    const count = x.length / columns;
    const width = roundUp(rows, PANEL);
    const weights = lab.matrix(matrix);
    const ldx = roundUp(columns, PANEL);
    // What lies between the rows must not matter.
    const input = lab.take(count * ldx, NaN);
    for (let r = 0; r < count; r++) {
      input.f32.set(x.subarray(r * columns, (r + 1) * columns), r * ldx);
    }
    const packed = lab.take(count * roundUp(columns, PANEL));
    const y = lab.take(count * width, before === undefined ? NaN : 0);
    if (before !== undefined) {
      y.f32.set(before);
    }
    const scratch = lab.take(257 * PANEL);
    lab.kernels.pack_rows(input.address, ldx * 4, count, columns, packed.address);
    for (let first = 0; first < weights.panels; first += slice) {
      lab.kernels.gemm(
        packed.address,
        count,
        weights.address,
        weights.panels,
        first,
        Math.min(slice, weights.panels - first),
        y.address,
        width * 4,
        columns,
        before === undefined ? 0 : 1,
        scratch.address,
        weights.format,
      );
    }
    return y.f32.slice();
  }

  /** Drops the padding: [count][width] to [count][rows]. */
  function columnsOf(y: Float32Array, width: number, rows: number): Float32Array {
    return y.filter((_, i) => i % width < rows);
  }

  describe.each(FORMATS)("%s", (format) => {
    test.each([...SIZES, 4096, 4097, 8195])("gemv, %i columns", (columns) => {
      const random = randomSource(columns);
      for (const rows of SIZES) {
        if (rows * columns > 150_000) {
          continue;
        }
        const x = normalNumbers(columns, random);
        const matrix = randomMatrix(format, rows, columns, random);
        const { values, bound } = product(x, matrix);
        const y = gemv(x, matrix);
        const { ratio, text } = worstError(y.subarray(0, rows), values, (i) => C * bound[i]);
        expect(ratio, `${rows} rows: ${text}`).toBeLessThanOrEqual(1);
        expect(y.subarray(rows).every((padding) => padding === 0)).toBe(true);
        lab.checkGuards();
        lab.reset();
      }
    });

    test("gemv accumulates", () => {
      for (const columns of [33, 4097]) {
        const random = randomSource(5);
        const x = normalNumbers(columns, random);
        const matrix = randomMatrix(format, 17, columns, random);
        const before = normalNumbers(32, random, 10);
        const { values, bound } = product(x, matrix);
        const { ratio, text } = worstError(
          gemv(x, matrix, before).subarray(0, 17),
          values.map((value, i) => value + before[i]),
          (i) => C * bound[i] + UNIT_ROUNDOFF * (Math.abs(values[i]) + Math.abs(before[i])),
        );
        expect(ratio, text).toBeLessThanOrEqual(1);
      }
    });

    test.each([
      [1, 1],
      [3, 255],
      [17, 257],
      [257, 31],
      [33, 513],
      [17, 4097],
    ])("gemm, %i x %i", (rows, columns) => {
      const random = randomSource(rows + columns);
      const matrix = randomMatrix(format, rows, columns, random);
      const width = roundUp(rows, PANEL);
      for (const count of [1, 2, 3, 4, 5, 6, 7, 12, 17, 33]) {
        const x = normalNumbers(count * columns, random);
        const { values, bound } = product(x, matrix);
        const y = gemm(x, matrix);
        const { ratio, text } = worstError(columnsOf(y, width, rows), values, (i) => C * bound[i]);
        expect(ratio, `${count} rows: ${text}`).toBeLessThanOrEqual(1);

        const before = normalNumbers(count * width, random);
        const sums = columnsOf(gemm(x, matrix, before), width, rows);
        const added = columnsOf(before, width, rows);
        const accumulated = worstError(
          sums,
          values.map((value, i) => value + added[i]),
          (i) => C * (bound[i] + UNIT_ROUNDOFF * Math.sqrt(columns) * Math.abs(added[i])),
        );
        expect(accumulated.ratio, `${count} rows, accumulating: ${accumulated.text}`).toBeLessThanOrEqual(1);
        lab.checkGuards();
        lab.reset();
      }
    });

    test.each([35, 300, 513])(
      "a row has the same bits whatever rows are beside it, %i columns",
      (columns) => {
        const random = randomSource(11);
        const [rows, count] = [35, 23];
        const matrix = randomMatrix(format, rows, columns, random);
        const x = normalNumbers(count * columns, random);
        const width = roundUp(rows, PANEL);
        const before = normalNumbers(count * width, random);
        for (const sums of [undefined, before]) {
          const alone = Array.from({ length: count }, (_, r) => {
            const part = sums?.subarray(r * width, (r + 1) * width);
            return gemv(x.subarray(r * columns, (r + 1) * columns), matrix, part).subarray(0, rows);
          });
          for (const together of [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 23]) {
            for (let r = 0; r < count; r += together) {
              const end = Math.min(r + together, count);
              const part = sums?.subarray(r * width, end * width);
              const y = gemm(x.subarray(r * columns, end * columns), matrix, part);
              for (let m = r; m < end; m++) {
                expect(y.subarray((m - r) * width, (m - r) * width + rows)).toEqual(alone[m]);
              }
              lab.checkGuards();
              lab.reset();
            }
          }
        }
      },
    );

    test("gemm of a few panels after the other gives the same bits", () => {
      const random = randomSource(13);
      const matrix = randomMatrix(format, 75, 600, random);
      const x = normalNumbers(7 * 600, random);
      const all = gemm(x, matrix);
      for (const slice of [1, 2, 3]) {
        expect(gemm(x, matrix, undefined, slice)).toEqual(all);
      }
    });

    test("a row of weights gives the same bits wherever it lies", () => {
      const random = randomSource(3);
      const [rows, columns] = [50, 4099];
      const matrix = randomMatrix(format, rows, columns, random);
      const rowBytes = matrix.bytes.length / rows;
      const x = normalNumbers(columns, random);
      const x3 = normalNumbers(3 * columns, random);
      const width = roundUp(rows, PANEL);
      const [all, many] = [gemv(x, matrix), gemm(x3, matrix)];
      lab.reset();
      for (const first of [1, 7, 16, 33]) {
        const part: StoredMatrix = {
          ...matrix,
          rows: rows - first,
          bytes: matrix.bytes.slice(first * rowBytes),
          scales: matrix.scales?.slice(first),
        };
        expect(gemv(x, part).subarray(0, rows - first)).toEqual(all.subarray(first, rows));
        const shifted = gemm(x3, part);
        for (let r = 0; r < 3; r++) {
          const from = r * roundUp(rows - first, PANEL);
          expect(shifted.subarray(from, from + rows - first)).toEqual(
            many.subarray(r * width + first, r * width + rows),
          );
        }
        lab.reset();
      }
    });
  });

  test.each(["f16", "bf16"] as const)("%s at the edges of the format", (format) => {
    for (const [rows, columns] of [
      [33, 257],
      [17, 31],
    ]) {
      const random = randomSource(17);
      const matrix = randomMatrix(format, rows, columns, random, true);
      const x = normalNumbers(6 * columns, random);
      const { values, bound } = product(x, matrix);
      const single = worstError(
        gemv(x.subarray(0, columns), matrix).subarray(0, rows),
        values.subarray(0, rows),
        (i) => C * bound[i],
      );
      expect(single.ratio, single.text).toBeLessThanOrEqual(1);
      const many = columnsOf(gemm(x, matrix), roundUp(rows, PANEL), rows);
      const { ratio, text } = worstError(many, values, (i) => C * bound[i]);
      expect(ratio, text).toBeLessThanOrEqual(1);
    }
  });

  test("every finite f16 is multiplied exactly, subnormals included", () => {
    // x takes one of two columns, so that y is that weight.
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter(
      (half) => (half & 0x7c00) !== 0x7c00,
    );
    const rows = bits.length / 2;
    const matrix: StoredMatrix = {
      format: "f16",
      rows,
      columns: 2,
      bytes: new Uint8Array(bits.buffer),
      values: Float64Array.from(bits, f16Value),
    };
    for (const column of [0, 1]) {
      const x = Float32Array.of(column === 0 ? 1 : 0, column);
      const expected = Float32Array.from(matrix.values.filter((_, i) => i % 2 === column));
      expect(equalNumbers(gemv(x, matrix).subarray(0, rows), expected)).toBe(true);
      const y = gemm(Float32Array.of(...x, ...x), matrix);
      expect(equalNumbers(y.subarray(0, rows), expected)).toBe(true);
      expect(equalNumbers(y.subarray(rows, 2 * rows), expected)).toBe(true);
      lab.checkGuards();
      lab.reset();
    }
  });

  test("f16 products of subnormal weights and tiny or large activations keep their precision", () => {
    const bits = Uint16Array.of(0x0001, 0x03ff, 0x0400, 0x7bff);
    for (const scale of [2 ** -30, 2 ** -10, 1, 1e4]) {
      const matrix: StoredMatrix = {
        format: "f16",
        rows: 1,
        columns: 4,
        bytes: new Uint8Array(bits.buffer),
        values: Float64Array.from(bits, f16Value),
      };
      const x = Float32Array.of(0.7, -1.3, 0.9, 0).map((value) => value * scale);
      const { values, bound } = product(x, {
        ...matrix,
        values: matrix.values.map((v, i) => (i < 3 ? v : 0)),
      });
      const { ratio, text } = worstError(gemv(x, matrix).subarray(0, 1), values, (i) => C * bound[i]);
      expect(ratio, `activations of ${scale}: ${text}`).toBeLessThanOrEqual(1);
    }
  });

  test("no panels, no writes", () => {
    const y = lab.take(16, 7);
    for (const format of FORMATS) {
      lab.kernels[GEMV[format]](y.address, y.address, 0, 0, 0, y.address, 4, 0);
    }
    lab.kernels.gemm(y.address, 1, y.address, 0, 0, 0, y.address, 64, 4, 0, y.address, 2);
    expect(y.f32.every((value) => value === 7)).toBe(true);
  });
});

/** Whether numbers are equal by value: -0 is 0 (a sum that began with 0 has no -0). */
function equalNumbers(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
