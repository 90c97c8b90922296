/** What quantised weights and activations mean, read from their bytes in f64: an implementation of its own. */
import { PANEL, panelScalesOffset, UNIT_COLUMNS, type QuantizedFormat } from "../../src/kernels/format.ts";

const TILE_COLUMNS = 256;
const LINE = 64;

/** A scale of four bits of exponent and four of mantissa. */
export function e4m4Value(byte: number): number {
  return 2 ** ((byte >> 4) - 15) * (1 + (byte & 15) / 16);
}

/** The weights [rows][columns] of a matrix as it lies in panels, and the scale of each weight. */
export function quantizedValues(
  bytes: Uint8Array,
  format: QuantizedFormat,
  rows: number,
  columns: number,
): { values: Float64Array; scales: Float64Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const panels = Math.ceil(rows / PANEL);
  const lines = format === "int8" ? 16 : 8;
  const unitBytes = (lines + 1) * LINE;
  const values = new Float64Array(rows * columns);
  const scales = new Float64Array(rows * columns);
  let tiles = 0;
  for (let from = 0; from < columns; from += TILE_COLUMNS) {
    const width = Math.min(TILE_COLUMNS, columns - from);
    const tileBytes = Math.ceil(width / UNIT_COLUMNS) * unitBytes;
    for (let row = 0; row < rows; row++) {
      const panel = Math.floor(row / PANEL);
      const tile = tiles + panel * tileBytes + (row % PANEL) * 4;
      for (let c = 0; c < width; c++) {
        const unit = tile + Math.floor(c / UNIT_COLUMNS) * unitBytes;
        const group = Math.floor((c % UNIT_COLUMNS) / 32);
        const meta = unit + lines * LINE + 2 * group;
        const within = c % 32;
        let [q, zero, scale] = [0, 128, 0];
        if (format === "int8") {
          q = bytes[unit + (group * 8 + Math.floor(within / 4)) * LINE + (within % 4)];
          scale = new Float32Array(Uint32Array.of(view.getUint16(meta, true) << 16).buffer)[0];
        } else {
          const byte = bytes[unit + Math.floor(within / 4) * LINE + (within % 4)];
          q = group === 0 ? byte & 15 : byte >> 4;
          zero = bytes[meta] / 16;
          const row16 = panelScalesOffset(format, columns, panels, panel) + (row % PANEL) * 4;
          scale = e4m4Value(bytes[meta + 1]) * view.getFloat32(row16, true);
        }
        values[row * columns + from + c] = scale * (q - zero);
        scales[row * columns + from + c] = scale;
      }
    }
    tiles += panels * tileBytes;
  }
  return { values, scales };
}

/** Activations [rows][columns] as the product sees them: integers of a group of 32 columns times its scale. */
export function quantizedActivations(x: ArrayLike<number>, columns: number): Float64Array {
  const values = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += columns) {
    for (let from = 0; from < columns; from += 32) {
      const group = Array.from({ length: Math.min(32, columns - from) }, (_, i) => x[row + from + i]);
      const largest = Math.max(...group.map(Math.abs));
      if (largest < Math.fround(1e-30)) {
        continue;
      }
      const scale = Math.fround(largest / 127);
      const factor = Math.fround(127 / largest);
      group.forEach((value, i) => {
        values[row + from + i] = roundToEven(Math.fround(value * factor)) * scale;
      });
    }
  }
  return values;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
