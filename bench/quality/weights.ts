/** What quantising does to the weights themselves: bits of each, and the matrix that it changes most. */
import {
  elementBytes,
  FORMATS,
  isQuantized,
  matrixBytes,
  PANEL,
  panelBytes,
  type QuantizedFormat,
} from "../../src/kernels/format.ts";
import { instantiateKernels } from "../../src/kernels/wasm-module.ts";
import { openModel } from "../../src/models/open-model.ts";
import { matrixSlice, readSliceRows, type WeightSlice } from "../../src/runtime/checkpoint/weight-source.ts";
import { heldFormats } from "../../src/runtime/held-formats.ts";
import { openFile } from "../../src/runtime/platform/files.ts";
import { kernelModule } from "../../src/runtime/wasm/kernel-builds.ts";

export interface WeightQuality {
  /** Bits a weight of all matrices together, their scales included. */
  readonly bitsPerWeight: number;
  /** ‖W − Ŵ‖ / ‖W‖ of the matrix for which it is largest, and which that is. */
  readonly worstError: number;
  readonly worstMatrix: string;
}

const PAGE = 65_536;

/** Quantises a model's matrices one panel of 16 rows at a time, in memory of a few rows, and looks what they mean then. */
export async function measureWeights(
  directory: string,
  quantization: QuantizedFormat,
  onMatrix: (done: number, of: number) => void,
): Promise<WeightQuality> {
  const { program, checkpoint } = await openModel(directory);
  const held = heldFormats(program, quantization);
  let [bits, weights, worstError, worstMatrix] = [0, 0, 0, ""];
  let done = 0;
  for (const name of program.matrices.keys()) {
    onMatrix(done++, program.matrices.size);
    const slice = matrixSlice(program, checkpoint, name);
    const format = held(name, slice.format);
    bits += matrixBytes(format, slice.rows, slice.columns) * 8;
    weights += slice.rows * slice.columns;
    const error = isQuantized(format) ? relativeError(slice, format) : 0;
    if (error > worstError) {
      [worstError, worstMatrix] = [error, name];
    }
  }
  return { bitsPerWeight: bits / weights, worstError, worstMatrix };
}

/** ‖W − Ŵ‖ / ‖W‖ of a matrix. */
function relativeError(slice: WeightSlice, format: QuantizedFormat): number {
  const { rows, columns } = slice;
  const rowBytes = elementBytes(slice.format, columns);
  const padded = Math.ceil(columns / 64) * 64;
  const source = PAGE;
  const exact = align(source + PANEL * rowBytes);
  const packed = align(exact + panelBytes("f32", columns));
  const scratch = align(packed + panelBytes(format, columns));
  const out = align(scratch + (padded + padded / 16) * 4);
  const pages = Math.ceil((out + 2 * padded * 4) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const kernels = instantiateKernels(kernelModule("baseline"), memory);
  const file = openFile(slice.tensor.file);
  const [wanted, found] = [0, padded * 4].map((at) => new Float32Array(memory.buffer, out + at, columns));
  let [error, power] = [0, 0];
  try {
    for (let row = 0; row < rows; row += PANEL) {
      const end = Math.min(rows, row + PANEL);
      const window = new Uint8Array(memory.buffer, source, (end - row) * rowBytes);
      readSliceRows(file, slice, { start: row, end }, window);
      const [stored, code] = [FORMATS[slice.format].code, FORMATS[format].code];
      kernels.pack_panel(source, rowBytes, columns, end - row, exact, 0, 1, stored);
      kernels.quantize_panel(source, rowBytes, columns, end - row, packed, 0, 1, stored, code, scratch);
      for (let r = 0; r < end - row; r++) {
        kernels.embed(exact, 1, r, columns, out, stored);
        kernels.embed(packed, 1, r, columns, out + padded * 4, code);
        for (let c = 0; c < columns; c++) {
          error += (wanted[c] - found[c]) ** 2;
          power += wanted[c] ** 2;
        }
      }
    }
  } finally {
    file.close();
  }
  return power === 0 ? 0 : Math.sqrt(error / power);
}

function align(address: number): number {
  return Math.ceil(address / 64) * 64;
}
