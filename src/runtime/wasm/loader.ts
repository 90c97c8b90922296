/**
 * Loads one worker's share of the weights: positioned reads of its rows in bounded windows, packed panel by panel into
 * the worker's memory. The window lies in that memory too (its scratch), small enough to stay in the L2 cache between
 * the read and the packing.
 */
import { openFile, type OpenFile } from "../platform/files.ts";
import { vectorValues } from "../checkpoint/vector-values.ts";
import { readSliceRows } from "../checkpoint/weight-source.ts";
import type { Bank } from "./memory.ts";
import {
  FORMAT_CODE,
  PANEL,
  panelRange,
  type MatrixPlacement,
  type MemoryPlan,
  type VectorPlacement,
} from "./plan.ts";

const WINDOW_BYTES = 512 * 1024;
/** Of a transposed tensor: there a row of the window is a column of the file, and the reads as short as the window. */
const TRANSPOSED_WINDOW_BYTES = 8 * 2 ** 20;

export interface LoadHooks {
  /** Bytes read since the last call. */
  onBytes: (count: number) => void;
  shouldStop: () => boolean;
}

/** Throws AbortError when `shouldStop` says so. */
export function loadWeights(plan: MemoryPlan, index: number, banks: readonly Bank[], hooks: LoadHooks): void {
  const files = new Map<string, OpenFile>();
  const fileOf = (path: string): OpenFile => {
    let file = files.get(path);
    if (file === undefined) {
      files.set(path, (file = openFile(path)));
    }
    return file;
  };
  try {
    // In the order of the files, so that reads run ahead well.
    const matrices = Object.values(plan.matrices).sort(
      (a, b) => a.source.tensor.offset - b.source.tensor.offset,
    );
    for (const matrix of matrices) {
      loadMatrix(plan, index, banks[matrix.bank], matrix, fileOf(matrix.source.tensor.file), hooks);
    }
    for (const vector of Object.values(plan.vectors)) {
      loadVector(banks[vector.bank], vector, fileOf(vector.source.tensor.file), hooks);
    }
  } finally {
    for (const file of files.values()) {
      file.close();
    }
  }
}

function loadMatrix(
  plan: MemoryPlan,
  index: number,
  bank: Bank,
  matrix: MatrixPlacement,
  file: OpenFile,
  hooks: LoadHooks,
): void {
  const { source, format, rows, columns, offset } = matrix;
  const scratch = plan.banks[matrix.bank].scratch;
  const panels = panelRange(rows, index, plan.threads);
  const rowBytes = columns * (format.dtype === "f32" ? 4 : 2);
  const most = source.transposed ? TRANSPOSED_WINDOW_BYTES : WINDOW_BYTES;
  const windowPanels = Math.max(1, Math.floor(Math.min(most, scratch.packedBytes) / (rowBytes * PANEL)));
  for (let panel = panels.start; panel < panels.end; panel += windowPanels) {
    const end = Math.min(panel + windowPanels, panels.end);
    const range = { start: panel * PANEL, end: Math.min(end * PANEL, rows) };
    const window = new Uint8Array(bank.u8.buffer, scratch.packed, (range.end - range.start) * rowBytes);
    readSliceRows(file, source, range, window, hooks);
    for (let p = panel; p < end; p++) {
      bank.kernels.pack_panel(
        scratch.packed + (p - panel) * PANEL * rowBytes,
        rowBytes,
        columns,
        Math.min(PANEL, rows - p * PANEL),
        offset,
        p - panels.start,
        panels.end - panels.start,
        FORMAT_CODE[format.dtype],
      );
    }
  }
}

/** Norm gains and biases, kept by every worker. */
function loadVector(bank: Bank, vector: VectorPlacement, file: OpenFile, hooks: LoadHooks): void {
  const { source, length, offset } = vector;
  const bytes = new Uint8Array(length * (source.tensor.dtype === "F32" ? 4 : 2));
  readSliceRows(file, source, { start: 0, end: length }, bytes, hooks);
  bank.f32.set(vectorValues(source.tensor, bytes), offset / 4);
}
