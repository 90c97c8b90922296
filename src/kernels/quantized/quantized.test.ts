/** int8 and int4 weights on the CPU: what becomes of weights, and products with them, against f64. */
import { afterEach, describe, expect, test } from "vitest";
import { quantizedActivations, quantizedValues } from "../../../test/support/quantized.ts";
import {
  normalNumbers,
  product,
  randomMatrix,
  randomSource,
  worstError,
  type StoredMatrix,
} from "../../../test/support/numbers.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { bestIntegerDot } from "../../runtime/wasm/integer-dot.ts";
import { roundUp } from "../../runtime/wasm/plan.ts";
import { FORMATS, PANEL, panelBytes, type QuantizedFormat } from "../format.ts";
import { DOTS, type KernelBuild } from "../wasm-module.ts";

const QUANTIZED = ["int8", "int4"] as const satisfies readonly QuantizedFormat[];

/** How a product is computed. */
interface Multiplied {
  dot?: number;
  /** What it is added to. */
  before?: Float32Array;
  /** Panels a call. */
  slice?: number;
  /** Whether by the kernel for one row. */
  isRow?: boolean;
}

/** The ways to multiply integers that a build has on this CPU. */
const dotsOf = (build: KernelBuild): number[] => [
  ...new Set([DOTS.plain, ...(build === "baseline" ? [] : [DOTS.dot16]), DOTS[bestIntegerDot(build)]]),
];

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);

  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  /** The matrix as the loader makes it, and what it means. */
  function quantize(matrix: StoredMatrix, format: QuantizedFormat) {
    const { rows, columns, bytes } = matrix;
    const source = lab.take(Math.ceil(bytes.length / 4));
    source.u8.set(bytes);
    const panels = Math.ceil(rows / PANEL);
    const packed = lab.take((panels * panelBytes(format, columns)) / 4, 123);
    const padded = roundUp(columns, 64);
    const scratch = lab.take(padded + padded / 16);
    let isFinite = true;
    for (let p = 0; p < panels; p++) {
      const result = lab.kernels.quantize_panel(
        source.address + (p * PANEL * bytes.length) / rows,
        bytes.length / rows,
        columns,
        Math.min(PANEL, rows - p * PANEL),
        packed.address,
        p,
        panels,
        FORMATS[matrix.format].code,
        FORMATS[format].code,
        scratch.address,
      );
      isFinite &&= result === 1;
    }
    const { values, scales } = quantizedValues(packed.u8, format, rows, columns);
    return { packed, panels, values, scales, isFinite };
  }

  /** y = x * w^T, [rows of x][rows of the matrix padded to panels]; `isRow`: of one row, by the kernel for that. */
  function multiply(
    x: Float32Array,
    columns: number,
    weights: { packed: { address: number }; panels: number },
    format: QuantizedFormat,
    { dot = DOTS.plain, before, slice = 1e9, isRow = false }: Multiplied = {},
  ): Float32Array {
    const count = x.length / columns;
    const ldx = roundUp(columns, PANEL);
    const input = lab.take(count * ldx, NaN);
    for (let r = 0; r < count; r++) {
      input.f32.set(x.subarray(r * columns, (r + 1) * columns), r * ldx);
    }
    const a = lab.take(count * roundUp(columns, 64) * 1.375);
    const width = weights.panels * PANEL;
    const y = lab.take(count * width, before === undefined ? NaN : 0);
    if (before !== undefined) {
      y.f32.set(before);
    }
    const scratch = lab.take(257 * PANEL);
    lab.kernels.quantize_rows(input.address, ldx * 4, count, columns, a.address);
    if (isRow) {
      const t = lab.take(PANEL);
      for (let first = 0; first < weights.panels; first += slice) {
        lab.kernels.gemv_quantized(
          a.address,
          weights.packed.address,
          weights.panels,
          first,
          Math.min(slice, weights.panels - first),
          y.address,
          columns,
          before === undefined ? 0 : 1,
          t.address,
          FORMATS[format].code,
          dot,
        );
      }
      return y.f32.slice();
    }
    for (let first = 0; first < weights.panels; first += slice) {
      lab.kernels.gemm_quantized(
        a.address,
        count,
        weights.packed.address,
        weights.panels,
        first,
        Math.min(slice, weights.panels - first),
        y.address,
        width * 4,
        columns,
        before === undefined ? 0 : 1,
        scratch.address,
        FORMATS[format].code,
        dot,
      );
    }
    return y.f32.slice();
  }

  describe.each(QUANTIZED)("%s", (format) => {
    test.each(["f32", "f16", "bf16"] as const)("weights from %s are within a step", (stored) => {
      for (const columns of [1, 31, 32, 64, 65, 255, 256, 257, 576]) {
        const matrix = randomMatrix(stored, 17, columns, randomSource(columns));
        const { values, scales, isFinite } = quantize(matrix, format);
        expect(isFinite).toBe(true);
        // Rounding errs by half a step; beyond the ends of int4's range and by a rounded zero, by somewhat more.
        const steps = format === "int8" ? 0.5 : 1.6;
        const { ratio, text } = worstError(
          values,
          matrix.values,
          (i) => steps * scales[i] * (1 + 1e-6) + 1e-30,
        );
        expect(ratio, `${columns} columns: ${text}`).toBeLessThanOrEqual(1);
        lab.checkGuards();
        lab.reset();
      }
    });

    test("the weights' error is that of the bits", () => {
      const matrix = randomMatrix("f32", 64, 2048, randomSource(7));
      const { values } = quantize(matrix, format);
      let [error, power] = [0, 0];
      values.forEach((value, i) => {
        error += (value - matrix.values[i]) ** 2;
        power += matrix.values[i] ** 2;
      });
      // Of normal numbers in groups of 32. Steps of (largest - least) / 15 would give int4 0.0066, scale and zero each rounded by itself 0.0054.
      const [least, most] = format === "int8" ? [2e-5, 4e-5] : [0.004, 0.0052];
      expect(error / power).toBeGreaterThan(least);
      expect(error / power).toBeLessThan(most);
    });

    test("groups of zeros, of one sign, of one number, and groups of very different sizes", () => {
      const columns = 32 * 8;
      const random = randomSource(3);
      const values = normalNumbers(columns, random);
      const part = (group: number): Float32Array => values.subarray(group * 32, group * 32 + 32);
      part(0).fill(0);
      part(1).forEach((value, i, all) => (all[i] = Math.abs(value)));
      part(2).forEach((value, i, all) => (all[i] = -Math.abs(value)));
      part(3).fill(0.5);
      part(4).fill(-0.5);
      part(5).forEach((value, i, all) => (all[i] = value * 1e-3));
      part(6).forEach((value, i, all) => (all[i] = value * 1e-12));
      const matrix: StoredMatrix = {
        format: "f32",
        rows: 1,
        columns,
        bytes: new Uint8Array(values.slice().buffer),
        values: Float64Array.from(values),
      };
      const { values: found } = quantize(matrix, format);
      for (let group = 0; group < 8; group++) {
        const most = Math.max(...part(group).map(Math.abs));
        // What is far below the row's largest scale becomes nothing, never something large.
        const allowed = group === 6 && format === "int4" ? 3e-4 : most * (format === "int8" ? 0.005 : 0.09);
        for (let i = 0; i < 32; i++) {
          const at = group * 32 + i;
          expect(Math.abs(found[at] - values[at]), `group ${group}`).toBeLessThanOrEqual(allowed);
        }
      }
      expect([...found.subarray(0, 32)]).toEqual(new Array(32).fill(0));
    });

    test("a weight that is no number is told", () => {
      for (const bad of [NaN, Infinity, -Infinity]) {
        for (const at of [0, 33, 299]) {
          const values = new Float32Array(300).fill(0.25);
          values[at] = bad;
          const bytes = new Uint8Array(values.buffer);
          const matrix = {
            format: "f32",
            rows: 1,
            columns: 300,
            bytes,
            values: new Float64Array(300),
          } as const;
          expect(quantize(matrix, format).isFinite, `${bad} at ${at}`).toBe(false);
        }
      }
    });

    test("products are those of the integers", () => {
      for (const columns of [1, 33, 64, 96, 255, 257, 576, 1030]) {
        for (const rows of [1, 16, 33]) {
          const random = randomSource(columns * 100 + rows);
          const matrix = randomMatrix("bf16", rows, columns, random);
          const weights = quantize(matrix, format);
          const x = normalNumbers(7 * columns, random);
          const exact = { ...matrix, values: weights.values };
          const { values, bound } = product(quantizedActivations(x, columns), exact);
          const y = multiply(x, columns, weights, format).filter(
            (_, i) => i % (weights.panels * PANEL) < rows,
          );
          const { ratio, text } = worstError(y, values, (i) => 4 * bound[i]);
          expect(ratio, `[${rows}, ${columns}]: ${text}`).toBeLessThanOrEqual(1);
          lab.checkGuards();
          lab.reset();
        }
      }
    });

    test("a row has the same bits among any others, in any cut, however integers are multiplied", () => {
      const columns = 580;
      const random = randomSource(11);
      const weights = quantize(randomMatrix("bf16", 40, columns, random), format);
      const width = weights.panels * PANEL;
      const x = normalNumbers(20 * columns, random);
      const before = normalNumbers(20 * width, random);
      const all = multiply(x, columns, weights, format, { before });
      for (let count = 0; count <= 20; count++) {
        for (const dot of dotsOf(build)) {
          const from = 20 - Math.max(1, count);
          const some = multiply(x.subarray(from * columns), columns, weights, format, {
            dot,
            before: before.subarray(from * width),
            slice: 1 + (count % 3),
            isRow: count === 0,
          });
          expect(some, `${count} rows, dot ${dot}`).toEqual(all.subarray(from * width));
        }
        lab.checkGuards();
      }
    });

    test("the largest integers do not overflow", () => {
      const columns = 256;
      // Alternating signs make the extremes of q; activations are at their largest, of either sign.
      const w = Float32Array.from({ length: columns }, (_, i) => (i % 32 === 0 ? -1 : 1));
      const matrix: StoredMatrix = {
        format: "f32",
        rows: 1,
        columns,
        bytes: new Uint8Array(w.buffer),
        values: Float64Array.from(w),
      };
      const weights = quantize(matrix, format);
      for (const sign of [1, -1]) {
        const x = new Float32Array(columns).fill(sign * 3);
        const { values, bound } = product(quantizedActivations(x, columns), {
          ...matrix,
          values: weights.values,
        });
        for (const dot of dotsOf(build)) {
          const y = multiply(x, columns, weights, format, { dot });
          expect(Math.abs(y[0] - values[0]), `dot ${dot}`).toBeLessThanOrEqual(4 * bound[0]);
        }
      }
    });

    test("a NaN or an infinity in a row is in all of its products, and in no other row's", () => {
      const columns = 100;
      const random = randomSource(2);
      const weights = quantize(randomMatrix("f32", 16, columns, random), format);
      for (const [bad, at] of [
        [NaN, 3],
        [Infinity, 40],
        [-Infinity, 99],
      ]) {
        const x = normalNumbers(3 * columns, random);
        x[columns + at] = bad;
        const y = multiply(x, columns, weights, format);
        expect(y.subarray(0, 16).every((value) => Number.isFinite(value))).toBe(true);
        expect(y.subarray(16, 32).some((value) => Number.isFinite(value))).toBe(false);
        expect(y.subarray(32, 48).every((value) => Number.isFinite(value))).toBe(true);
      }
    });

    test("products of activations as they are, with widened weights", () => {
      for (const columns of [1, 31, 33, 64, 97, 256, 300]) {
        for (const count of [1, 2, 7]) {
          const rows = 33;
          const random = randomSource(columns + count);
          const matrix = randomMatrix("f32", rows, columns, random);
          const { packed, panels, values: weights } = quantize(matrix, format);
          const x = normalNumbers(count * columns, random);
          const input = lab.take(count * columns);
          input.f32.set(x);
          const a = lab.take(count * roundUp(columns, PANEL));
          const y = lab.take(count * panels * PANEL, NaN);
          const scratch = lab.take(257 * PANEL);
          const { code } = FORMATS[format];
          lab.kernels.pack_rows(input.address, columns * 4, count, columns, a.address);
          lab.kernels.gemm(
            a.address,
            count,
            packed.address,
            panels,
            0,
            panels,
            y.address,
            panels * PANEL * 4,
            columns,
            0,
            scratch.address,
            code,
          );
          const { values, bound } = product(x, { ...matrix, values: weights });
          const found = y.f32.filter((_, i) => i % (panels * PANEL) < rows);
          const { ratio, text } = worstError(found, values, (i) => 4 * bound[i]);
          expect(ratio, `[${count}, ${columns}]: ${text}`).toBeLessThanOrEqual(1);
          lab.checkGuards();
          lab.reset();
        }
      }
    });

    test("rows of tables are the weights", () => {
      const [rows, columns] = [33, 300];
      const matrix = randomMatrix("bf16", rows, columns, randomSource(5));
      const { packed, panels, values } = quantize(matrix, format);
      const out = lab.take(columns);
      for (const row of [0, 15, 16, 32]) {
        lab.kernels.embed(packed.address, panels, row, columns, out.address, FORMATS[format].code);
        const { ratio, text } = worstError(
          out.f32,
          values.subarray(row * columns, (row + 1) * columns),
          (i) => Math.abs(values[row * columns + i]) * 2 ** -22 + 1e-30,
        );
        expect(ratio, text).toBeLessThanOrEqual(1);
      }
    });
  });
});

test.each(QUANTIZED)("%s weights are the same for every build", (format) => {
  const matrices = BUILDS.map((build) => {
    const lab = new WasmLab(build);
    const { bytes, rows, columns } = randomMatrix("bf16", 16, 320, randomSource(1));
    const source = lab.take(bytes.length / 4);
    source.u8.set(bytes);
    const packed = lab.take(panelBytes(format, columns) / 4);
    lab.kernels.quantize_panel(
      source.address,
      bytes.length / rows,
      columns,
      16,
      packed.address,
      0,
      1,
      FORMATS.bf16.code,
      FORMATS[format].code,
      lab.take(340).address,
    );
    return packed.u8.slice();
  });
  for (const other of matrices) {
    expect(other).toEqual(matrices[0]);
  }
});
