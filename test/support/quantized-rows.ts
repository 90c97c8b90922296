/** What quantised weights mean as rows for the GPU, read from their bytes in f64: an implementation of its own. */
import { rowStride, type FormatName, type QuantizedFormat } from "../../src/kernels/format.ts";
import { bf16Bits, bf16Value, type StoredMatrix } from "./numbers.ts";
import { e4m4Value } from "./quantized.ts";

/** Where the numbers of a row lie in it, in bytes. */
function placesOf(format: QuantizedFormat, columns: number): { groups: number; rowScale: number } {
  const groups = Math.ceil(columns / 32);
  const elements = format === "int4" ? groups * 16 : Math.ceil(columns / 16) * 16;
  return { groups: elements, rowScale: elements + Math.ceil(groups / 2) * 4 };
}

/** The byte of a column's element, and of how many bits it begins. */
function elementOf(format: QuantizedFormat, column: number): { byte: number; shift: number } {
  const inChunk = column % (format === "int4" ? 32 : 16);
  const chunk = (column - inChunk) / (format === "int4" ? 32 : 16);
  const [word, element] = [inChunk % 4, Math.floor(inChunk / 4)];
  const byte = chunk * 16 + word * 4;
  return format === "int4"
    ? { byte: byte + Math.floor(element / 2), shift: (element % 2) * 4 }
    : { byte: byte + element, shift: 0 };
}

/** The weights [rows][columns] of a matrix as it lies in rows. */
export function quantizedRowValues(
  bytes: Uint8Array,
  format: QuantizedFormat,
  rows: number,
  columns: number,
): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stride = rowStride({ format, columns });
  const places = placesOf(format, columns);
  return Float64Array.from({ length: rows * columns }, (_, i) => {
    const row = Math.floor(i / columns) * stride;
    const column = i % columns;
    const { byte, shift } = elementOf(format, column);
    const meta = row + places.groups + 2 * Math.floor(column / 32);
    if (format === "int8") {
      return bf16Value(view.getUint16(meta, true)) * (bytes[row + byte] - 128);
    }
    const q = (bytes[row + byte] >> shift) & 15;
    return view.getFloat32(row + places.rowScale, true) * e4m4Value(bytes[meta + 1]) * (q - bytes[meta] / 16);
  });
}

/** A matrix of any format; the bytes of a quantised one are rows as the GPU has them. */
export interface LaidMatrix extends Omit<StoredMatrix, "format"> {
  format: FormatName;
}

/** Rows of any elements, zeros and scales that the format has; what pads them are zeros. */
export function randomRows(
  format: QuantizedFormat,
  rows: number,
  columns: number,
  random: () => number,
): LaidMatrix {
  const stride = rowStride({ format, columns });
  const bytes = new Uint8Array(rows * stride);
  const view = new DataView(bytes.buffer);
  const places = placesOf(format, columns);
  for (let row = 0; row < bytes.length; row += stride) {
    for (let c = 0; c < columns; c++) {
      const { byte, shift } = elementOf(format, c);
      bytes[row + byte] |=
        format === "int8" ? 1 + Math.floor(random() * 255) : Math.floor(random() * 16) << shift;
    }
    for (let g = 0; g < Math.ceil(columns / 32); g++) {
      const meta = row + places.groups + 2 * g;
      if (format === "int8") {
        view.setUint16(meta, bf16Bits((0.5 + random()) / 64), true);
      } else {
        // Scales of the upper half, so that errors of the smaller ones are seen too.
        view.setUint16(meta, Math.floor(random() * 256) + ((192 + Math.floor(random() * 64)) << 8), true);
      }
    }
    if (format === "int4") {
      // So few bits that weights are f32 numbers.
      view.setFloat32(row + places.rowScale, Math.floor((0.5 + random()) * 2 ** 8) / 2 ** 11, true);
    }
  }
  return { format, rows, columns, bytes, values: quantizedRowValues(bytes, format, rows, columns) };
}
