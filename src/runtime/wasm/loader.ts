/**
 * Loads one worker's share of the weights: positioned reads of its rows in bounded windows, packed panel by panel into
 * the worker's memory. The window lies in that memory too (its scratch), small enough to stay in the L2 cache between
 * the read and the packing.
 */
import { openFile, type OpenFile } from "../platform/files.ts";
import { vectorValues } from "../checkpoint/vector-values.ts";
import { ReadChecksums, type PartialChecksums } from "../checkpoint/read-checksums.ts";
import type { TensorLocation } from "../checkpoint/tensor-location.ts";
import {
  notFinite,
  readSliceRows,
  vectorReads,
  type VectorSlice,
  type WeightSlice,
} from "../checkpoint/weight-source.ts";
import type { RowRange } from "../program.ts";
import type { Bank } from "./memory.ts";
import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import {
  readCachedWeights,
  writeCachedMatrix,
  type CachedWeights,
  type PartialSums,
} from "./cached-weights.ts";
import {
  elementBytes,
  FORMATS,
  isQuantized,
  PANEL,
  panelScalesOffset,
  type FormatName,
} from "../../kernels/format.ts";
import { panelRange, type MatrixPlacement, type MemoryPlan } from "./plan.ts";

const WINDOW_BYTES = 512 * 1024;
/**
 * The window of a transposed tensor, and of one with strides, where a row of the window is a column of the file and reads are as short as the
 * window.
 */
const TRANSPOSED_WINDOW_BYTES = 8 * 2 ** 20;

export interface LoadHooks {
  /** Called with the bytes that were read since the last call. */
  onBytes: (count: number) => void;
  shouldStop: () => boolean;
  /** Quantised weights that were kept: these matrices are not read from the checkpoint. */
  read?: CachedWeights;
  /** Where quantised weights are kept. */
  write?: CachedWeights;
}

/**
 * What was read, and what became of the cache: sums of the matrices that were read or written, or why it could not be read
 * (then nothing was loaded) or written.
 */
export interface LoadReport {
  sums: PartialSums;
  cacheFailure?: string;
  /** What was read of tensors that have checksums. */
  checksums?: PartialChecksums;
}

/**
 * Loads the weights of worker `index`. Throws "invalid-checkpoint" and "not-found", and AbortError when `shouldStop`
 * says so.
 */
export function loadWeights(
  plan: MemoryPlan,
  index: number,
  banks: readonly Bank[],
  hooks: LoadHooks,
): LoadReport {
  const checkStop = (): void => {
    if (hooks.shouldStop()) {
      throw new AbortError();
    }
  };
  const report: LoadReport = { sums: {} };
  if (hooks.read !== undefined) {
    try {
      report.sums = readCachedWeights(plan, index, banks, hooks.read, hooks.onBytes, checkStop);
    } catch (error) {
      if (error instanceof AbortError) {
        throw error;
      }
      return { sums: {}, cacheFailure: errorMessage(error) };
    }
  }
  const checksums = new ReadChecksums();
  const files = new Map<string, OpenFile>();
  const fileOf = ({ file: path }: TensorLocation): OpenFile => {
    let file = files.get(path);
    if (file === undefined) {
      files.set(path, (file = openFile(path)));
    }
    return file;
  };
  const watched = (tensor: TensorLocation): OpenFile => checksums.watch(fileOf(tensor), tensor);
  try {
    // Matrices are read in the order of the files, so that reads run ahead well.
    const matrices = Object.entries(plan.matrices).sort(
      ([, a], [, b]) => a.source.tensor.offset - b.source.tensor.offset,
    );
    for (const [name, matrix] of matrices) {
      if (hooks.read !== undefined && name in hooks.read.places) {
        continue;
      }
      loadMatrix(plan, index, banks[matrix.bank], matrix, watched, hooks);
      if (hooks.write !== undefined && name in hooks.write.places && report.cacheFailure === undefined) {
        try {
          report.sums[name] = writeCachedMatrix(plan, index, banks, hooks.write, name);
        } catch (error) {
          report.cacheFailure = errorMessage(error);
        }
      }
    }
    // Norm gains and biases are kept by every worker, and looked at by one.
    for (const { source, bank, offset } of Object.values(plan.vectors)) {
      const from = index === 0 ? watched : fileOf;
      banks[bank].f32.set(
        readNumbers(source, { start: 0, end: vectorReads(source) }, from, hooks),
        offset / 4,
      );
    }
  } finally {
    for (const file of files.values()) {
      file.close();
    }
  }
  return { ...report, checksums: checksums.parts() };
}

function loadMatrix(
  plan: MemoryPlan,
  index: number,
  bank: Bank,
  matrix: MatrixPlacement,
  fileOf: (tensor: TensorLocation) => OpenFile,
  hooks: LoadHooks,
): void {
  const { source, format, rows, columns, offset } = matrix;
  const file = fileOf(source.tensor);
  const scratch = plan.banks[matrix.bank].scratch;
  const panels = panelRange(rows, index, plan.threads);
  const rowBytes = elementBytes(source.format, columns);
  const quantized = isQuantized(format);
  const most =
    source.transposed || source.tensor.strides !== undefined ? TRANSPOSED_WINDOW_BYTES : WINDOW_BYTES;
  const windowPanels = Math.max(1, Math.floor(Math.min(most, scratch.packedBytes) / (rowBytes * PANEL)));
  for (let panel = panels.start; panel < panels.end; panel += windowPanels) {
    const end = Math.min(panel + windowPanels, panels.end);
    const range = { start: panel * PANEL, end: Math.min(end * PANEL, rows) };
    const window = new Uint8Array(bank.u8.buffer, scratch.packed, (range.end - range.start) * rowBytes);
    readSliceRows(file, source, range, window, hooks);
    for (let p = panel; p < end; p++) {
      if (hooks.shouldStop()) {
        throw new AbortError();
      }
      const from = scratch.packed + (p - panel) * PANEL * rowBytes;
      const count = Math.min(PANEL, rows - p * PANEL);
      const [own, all] = [p - panels.start, panels.end - panels.start];
      const stored = FORMATS[source.format].code;
      const { code } = FORMATS[format];
      const { logitInput } = scratch;
      if (format === source.format) {
        bank.kernels.pack_panel(from, rowBytes, columns, count, offset, own, all, code);
        continue;
      }
      if (!quantized) {
        if (bank.kernels.convert(from, count * columns, stored, code, logitInput) !== 1) {
          throw tooLarge(source, format);
        }
        const bytes = elementBytes(format, columns);
        bank.kernels.pack_panel(logitInput, bytes, columns, count, offset, own, all, code);
        continue;
      }
      const isFinite =
        bank.kernels.quantize_panel(
          from,
          rowBytes,
          columns,
          count,
          offset,
          own,
          all,
          stored,
          code,
          logitInput,
        ) === 1;
      if (!isFinite) {
        throw notFinite(source, format);
      }
    }
  }
  if (source.scales !== undefined) {
    const from = offset + panelScalesOffset(format, columns, panels.end - panels.start, 0);
    const range = { start: panels.start * PANEL, end: Math.min(panels.end * PANEL, rows) };
    bank.f32.set(readNumbers(source.scales, range, fileOf, hooks), from / 4);
  }
}

function tooLarge({ tensor }: WeightSlice, format: FormatName): ModelComposeError {
  return new ModelComposeError(
    "unsupported",
    `Tensor "${tensor.name}" in "${tensor.file}" (${tensor.dtype}) has a weight beyond 65504, the largest number of ${format}.`,
    { remedy: 'Use the precision "bfloat16" or "float32", or leave it out.', parameter: "precision" },
  );
}

/** Reads the numbers of a vector as f32. */
function readNumbers(
  source: VectorSlice,
  rows: RowRange,
  fileOf: (tensor: TensorLocation) => OpenFile,
  hooks: LoadHooks,
): Float32Array {
  const bytes = new Uint8Array(elementBytes(source.format, rows.end - rows.start));
  readSliceRows(fileOf(source.tensor), source, rows, bytes, hooks);
  return vectorValues(source.tensor, bytes, source);
}
