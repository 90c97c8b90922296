/** int8 and int4 weights as rows for the GPU: the numbers that the CPU's panels have, in another order. */
import { afterEach, describe, expect, test } from "vitest";
import { randomMatrix, randomSource, type StoredMatrix } from "../../../test/support/numbers.ts";
import { quantizedRowValues } from "../../../test/support/quantized-rows.ts";
import { quantizedValues } from "../../../test/support/quantized.ts";
import { BUILDS, WasmLab } from "../../../test/support/wasm-lab.ts";
import { FORMATS, PANEL, panelBytes, rowStride, type QuantizedFormat } from "../format.ts";

describe.each(BUILDS)("%s", (build) => {
  const lab = new WasmLab(build);
  afterEach(() => {
    lab.checkGuards();
    lab.reset();
  });

  /** Rows for the GPU, one call for all of them. */
  function rowsOf(matrix: StoredMatrix, format: QuantizedFormat): { bytes: Uint8Array; areFinite: number } {
    const { rows, columns, bytes } = matrix;
    const source = lab.take(Math.ceil(bytes.length / 4));
    source.u8.set(bytes);
    const stride = rowStride({ format, columns });
    const laid = lab.take((rows * stride) / 4, 123);
    const groups = Math.ceil(columns / 32);
    const scratch = lab.take(groups * 34);
    const areFinite = lab.kernels.quantize_rows_gpu(
      source.address,
      bytes.length / rows,
      columns,
      rows,
      laid.address,
      stride,
      FORMATS[matrix.format].code,
      FORMATS[format].code,
      scratch.address,
    );
    return { bytes: laid.u8.slice(), areFinite };
  }

  /** What the same weights are in panels. */
  function panelValues(matrix: StoredMatrix, format: QuantizedFormat): Float64Array {
    const { rows, columns, bytes } = matrix;
    const source = lab.take(Math.ceil(bytes.length / 4));
    source.u8.set(bytes);
    const panels = Math.ceil(rows / PANEL);
    const packed = lab.take((panels * panelBytes(format, columns)) / 4);
    const padded = Math.ceil(columns / 64) * 64;
    const scratch = lab.take(padded + padded / 16);
    for (let p = 0; p < panels; p++) {
      lab.kernels.quantize_panel(
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
    }
    return quantizedValues(packed.u8, format, rows, columns).values;
  }

  test.each([
    ["int8", "f32"],
    ["int8", "f16"],
    ["int8", "bf16"],
    ["int4", "f32"],
    ["int4", "f16"],
    ["int4", "bf16"],
  ] as const)("%s from %s: the numbers of the panels", (format, stored) => {
    for (const columns of [1, 16, 17, 31, 32, 33, 64, 65, 96, 257, 576]) {
      const matrix = randomMatrix(stored, 17, columns, randomSource(columns));
      const { bytes, areFinite } = rowsOf(matrix, format);
      expect(areFinite).toBe(1);
      const values = quantizedRowValues(bytes, format, 17, columns);
      expect(values, `${columns} columns`).toEqual(panelValues(matrix, format));
    }
  });

  test("rows of zeros are zeros, and bytes that no column has are zero", () => {
    for (const format of ["int8", "int4"] as const) {
      const columns = 40;
      const matrix = randomMatrix("f32", 3, columns, randomSource(1));
      matrix.bytes.fill(0);
      const { bytes } = rowsOf(matrix, format);
      const values = quantizedRowValues(bytes, format, 3, columns);
      expect(values.every((value) => value === 0)).toBe(true);
      const stride = rowStride({ format, columns });
      // int8: three chunks of elements, two scales. int4: two chunks, two pairs of bytes, the row's scale.
      const used = format === "int8" ? 3 * 16 + 4 : 2 * 16 + 4 + 4;
      expect(stride).toBe(format === "int8" ? 64 : 48);
      for (let row = 0; row < bytes.length; row += stride) {
        expect([...bytes.subarray(row + used, row + stride)]).toEqual(Array(stride - used).fill(0));
      }
    }
  });

  test.each([Infinity, -Infinity, NaN])("%d is told, wherever it is", (value) => {
    for (const format of ["int8", "int4"] as const) {
      for (const place of [0, 39, 79]) {
        const matrix = randomMatrix("f32", 2, 40, randomSource(2));
        new Float32Array(matrix.bytes.buffer)[place] = value;
        expect(rowsOf(matrix, format).areFinite, `${format} at ${place}`).toBe(0);
      }
    }
  });
});
