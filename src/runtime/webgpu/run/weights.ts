/**
 * Streams weights from files into GPU memory: a few staging buffers go round, each mapped, filled by a read straight
 * into it, unmapped and copied. The main thread only starts these steps, but for rows that the file holds otherwise than
 * one behind the other: those it reads itself, a piece at a time. Rows that are quantised come from threads (quantizer.ts).
 */
import { CHUNK_BYTES, chunksOf, elementBytes, isQuantized } from "../../../kernels/format.ts";
import { openFile, openFileAsync, readFileRange, type AsyncFile } from "../../platform/files.ts";
import { availableCores } from "../../platform/system.ts";
import type { RopeTable, RowRange } from "../../program.ts";
import { throwIfAborted } from "../../../base/errors.ts";
import { compareChecksums, ReadChecksums } from "../../checkpoint/read-checksums.ts";
import { bytesPerElement, type TensorLocation } from "../../checkpoint/tensor-location.ts";
import { vectorValues } from "../../checkpoint/vector-values.ts";
import {
  readSliceRows,
  tensorRanges,
  type VectorSlice,
  type WeightSlice,
} from "../../checkpoint/weight-source.ts";
import { MAP, USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";
import { overlap, type Weight, type WeightLayout, type WeightPart } from "../plan/layout.ts";
import { Quantizer, quantizedPiecesOf, quantizerModule, quantizerSizes } from "./quantizer.ts";

/** Bytes of a staging buffer: large enough for the bus, small beside any model. */
const STAGING_BYTES = 16 * 2 ** 20;
const STAGING_BUFFERS = 4;
/** Threads that quantise, each with some ten megabytes. */
const MOST_QUANTIZERS = 32;
/** Bytes that the main thread reads at once: they keep it from everything else for some ten milliseconds. */
const STRIDED_BYTES = 4 * 2 ** 20;
/** Ranges of rows shorter than this, on average, are read faster by the main thread than waited for one by one. */
const LEAST_RANGE_BYTES = 2 ** 16;
/** Positions of the rotation table between two breaths of the event loop. */
const ROPE_POSITIONS = 1024;

/** Rows of one tensor that go to consecutive rows of a GPU buffer. */
export interface Piece {
  file: string;
  /** Where the first row begins in the file, in bytes; the tensor, where `strided` says which rows. */
  position: number;
  /** Which rows these are, where the file does not have them one behind the other. */
  strided?: { source: WeightSlice; range: RowRange };
  /** Whose rows these are, where the file has its checksum. */
  tensor?: TensorLocation;
  rows: number;
  /** Bytes of a row in the file. */
  rowBytes: number;
  /** Bytes from one row to the next in the buffer; between them are zeros, and what belongs to the row. */
  stride: number;
  /** The scales of these rows, one each, which go `offset` bytes behind the beginning of a row. */
  scales?: { source: VectorSlice; range: RowRange; offset: number };
  buffer: string;
  /** Where the first row goes in the buffer, in bytes. */
  offset: number;
}

/**
 * The pieces of all weights that stay as the checkpoint has them, none larger than a staging buffer (but a single row), in the
 * order of the files.
 */
export function piecesOf(weights: Iterable<Weight>, stagingBytes = STAGING_BYTES): Piece[] {
  const pieces: Piece[] = [];
  for (const weight of weights) {
    if (isQuantized(weight.format)) {
      continue;
    }
    const rowBytes = elementBytes(weight.format, weight.columns);
    for (const part of weight.parts) {
      for (const shard of weight.shards) {
        for (const run of runsOf(part, rowBytes, overlap(part, shard))) {
          const { tensor } = part.source;
          const { file, offset } = tensor;
          const bytes = run.fileRow === undefined ? Math.min(stagingBytes, STRIDED_BYTES) : stagingBytes;
          const mostRows = Math.max(1, Math.floor(bytes / weight.stride));
          for (let done = 0; done < run.rows; done += mostRows) {
            const rows = Math.min(mostRows, run.rows - done);
            const start = run.row - part.first + done;
            const range = { start, end: start + rows };
            const { scales } = part.source;
            pieces.push({
              file,
              ...(run.fileRow === undefined
                ? { position: offset, strided: { source: part.source, range } }
                : { position: offset + (run.fileRow + done) * rowBytes }),
              ...(tensor.checksum === undefined ? {} : { tensor }),
              rows,
              rowBytes,
              stride: weight.stride,
              scales: scales && { source: scales, range, offset: chunksOf(weight) * CHUNK_BYTES },
              buffer: shard.buffer,
              offset: (run.row + done - shard.first) * weight.stride,
            });
          }
        }
      }
    }
  }
  return pieces.sort((a, b) => (a.file === b.file ? a.position - b.position : a.file < b.file ? -1 : 1));
}

interface Run {
  /** First row of the run, among the rows of the weight; it has `rows` rows. */
  row: number;
  rows: number;
  /** First row among those of the tensor, where its rows lie one behind the other. */
  fileRow?: number;
}

/** Rows of a weight that its file can give in one read each. */
function runsOf({ source, first }: WeightPart, rowBytes: number, { start, end }: RowRange): Run[] {
  if (start >= end) {
    return [];
  }
  const { rows, ranges, transposed, tensor } = source;
  const isScattered = ranges.length > 1 && (rows * rowBytes) / ranges.length < LEAST_RANGE_BYTES;
  const isElsewise = tensor.strides !== undefined || tensor.mxfp4 !== undefined;
  if (transposed || isElsewise || isScattered) {
    return [{ row: start, rows: end - start }];
  }
  let row = start;
  return tensorRanges(source.ranges, { start: start - first, end: end - first }).map((range) => {
    const run = { row, rows: range.end - range.start, fileRow: range.start };
    row += run.rows;
    return run;
  });
}

/** Where the rows of a piece go, and what they take in the file. */
type Target = Pick<Piece, "rows" | "rowBytes" | "stride" | "buffer" | "offset">;

export interface UploadOptions {
  onWeights?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Uploads all weights of a layout.
 *
 * @param buffers where the weights go, by name; "vectors" is among them
 * @throws ModelComposeError "invalid-checkpoint" when a file ends early, "not-found", "device"; AbortError
 */
export async function uploadWeights(
  context: GpuContext,
  layout: WeightLayout,
  buffers: ReadonlyMap<string, GPUBuffer>,
  { onWeights, signal }: UploadOptions,
): Promise<void> {
  const pieces = piecesOf(layout.weights.values());
  const toQuantize = quantizedPiecesOf(layout.weights.values());
  const total = [...pieces, ...toQuantize].reduce((sum, { rows, rowBytes }) => sum + rows * rowBytes, 0);
  const files = new Files();
  const quantizers: Quantizer[] = [];
  const checksums = new ReadChecksums();
  let done = 0;
  /** Ends the other rounds when one fails. */
  const stop = new AbortController();
  /** Uploads the pieces of a queue, which other rounds take from too. */
  const round = async <P extends Target>(
    queue: Iterable<P>,
    size: number,
    fill: (piece: P, mapped: Promise<ArrayBuffer>) => Promise<void>,
  ): Promise<void> => {
    const staging = await context.createBuffer(
      "weights on their way",
      size,
      USAGE.MAP_WRITE | USAGE.COPY_SRC,
    );
    try {
      for (const piece of queue) {
        throwIfAborted(signal);
        throwIfAborted(stop.signal);
        await fill(
          piece,
          staging.mapAsync(MAP.WRITE).then(() => staging.getMappedRange()),
        );
        staging.unmap();
        const encoder = context.device.createCommandEncoder();
        const target = buffers.get(piece.buffer);
        if (target === undefined) {
          throw new Error(`There is no buffer "${piece.buffer}".`);
        }
        encoder.copyBufferToBuffer(staging, 0, target, piece.offset, piece.rows * piece.stride);
        context.device.queue.submit([encoder.finish()]);
        done += piece.rows * piece.rowBytes;
        onWeights?.(done, total);
      }
      await context.device.queue.onSubmittedWorkDone();
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      context.releaseBuffer(staging);
    }
  };
  const size = Math.max(STAGING_BYTES, ...pieces.map(({ stride }) => stride));
  const queue = pieces.values();
  const rounds = Array.from({ length: Math.min(STAGING_BUFFERS, pieces.length) }, () =>
    round(queue, size, async (piece, mapped) => readPiece({ files, checksums }, piece, await mapped)),
  );
  const quantize = async (): Promise<void> => {
    if (toQuantize.length === 0) {
      return;
    }
    const module = await quantizerModule();
    const sizes = quantizerSizes(toQuantize);
    const waiting = toQuantize.values();
    const threads = Math.min(availableCores(), MOST_QUANTIZERS, toQuantize.length);
    quantizers.push(...Array.from({ length: threads }, (_, i) => new Quantizer(module, i, sizes)));
    await allOf(
      quantizers.map((quantizer) =>
        round(waiting, sizes.target, async (piece, mapped) => {
          const [rows, range] = await Promise.all([quantizer.quantize(piece), mapped]);
          new Uint8Array(range).set(rows);
        }),
      ),
    );
  };
  try {
    const outcome = allOf([
      ...rounds,
      quantize().catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
      uploadVectors(context, layout, buffers, checksums),
    ]);
    await outcome.catch(() => undefined);
    context.checkAlive();
    if (stop.signal.aborted) {
      throw stop.signal.reason;
    }
    await outcome;
    const matrices = [...layout.weights.values()].flatMap(({ parts }) => parts);
    compareChecksums(
      [...matrices, ...layout.vectors].map(({ source }) => source),
      [checksums.parts(), ...(await Promise.all(quantizers.map((quantizer) => quantizer.checksums())))],
    );
  } finally {
    await Promise.all([files.close(), ...quantizers.map((quantizer) => quantizer.dispose())]);
  }
}

/** Waits until all have ended. @throws what the first of them that failed threw */
async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(promises)) {
    if (outcome.status === "rejected") {
      throw outcome.reason;
    }
  }
}

/** What pieces are read with. */
interface Reading {
  readonly files: Files;
  readonly checksums: ReadChecksums;
}

async function readPiece(reading: Reading, piece: Piece, target: ArrayBuffer): Promise<void> {
  const { rows, rowBytes, stride, scales } = piece;
  if (rowBytes === stride) {
    await readRows(reading, piece, new Uint8Array(target, 0, rows * rowBytes));
    return;
  }
  const packed = new Uint8Array(rows * rowBytes);
  await readRows(reading, piece, packed);
  const padded = new Uint8Array(target, 0, rows * stride).fill(0);
  for (let r = 0; r < rows; r++) {
    padded.set(packed.subarray(r * rowBytes, (r + 1) * rowBytes), r * stride);
  }
  if (scales !== undefined) {
    const bytes = new Uint8Array(elementBytes(scales.source.format, rows));
    readStrided(scales.source, scales.range, bytes, reading.checksums);
    for (const [r, scale] of vectorValues(scales.source.tensor, bytes).entries()) {
      new DataView(target).setFloat32(r * stride + scales.offset, scale, true);
    }
  }
}

async function readRows(
  { files, checksums }: Reading,
  { file, position, strided, tensor }: Piece,
  target: Uint8Array,
): Promise<void> {
  if (strided !== undefined) {
    readStrided(strided.source, strided.range, target, checksums);
    return;
  }
  await (await files.open(file)).read(target, position);
  if (tensor !== undefined) {
    checksums.add(tensor, target, position);
  }
}

/** Reads rows on the calling thread. */
function readStrided(
  source: WeightSlice,
  range: RowRange,
  target: Uint8Array,
  checksums: ReadChecksums,
): void {
  const file = openFile(source.tensor.file);
  try {
    readSliceRows(checksums.watch(file, source.tensor), source, range, target);
  } finally {
    file.close();
  }
}

async function uploadVectors(
  context: GpuContext,
  layout: WeightLayout,
  buffers: ReadonlyMap<string, GPUBuffer>,
  checksums: ReadChecksums,
): Promise<void> {
  const all = new Float32Array(layout.vectorLength);
  for (const { source, offset } of layout.vectors) {
    let end = offset;
    for (const bytes of await readVector(source, checksums)) {
      const values = vectorValues(source.tensor, bytes, source);
      all.set(values, end);
      end += values.length;
    }
  }
  const buffer = buffers.get("vectors");
  if (buffer !== undefined) {
    context.device.queue.writeBuffer(buffer, 0, all);
  }
}

/** Reads the ranges of a vector, as the file has its numbers. */
async function readVector(source: VectorSlice, checksums: ReadChecksums): Promise<Uint8Array[]> {
  const { tensor, rows, ranges } = source;
  const elementBytes = bytesPerElement(tensor.dtype);
  if (tensor.strides !== undefined) {
    const bytes = new Uint8Array(rows * elementBytes);
    readStrided(source, { start: 0, end: rows }, bytes, checksums);
    return [bytes];
  }
  return Promise.all(
    ranges.map(async ({ start, end }) => {
      const position = tensor.offset + start * elementBytes;
      const bytes = await readFileRange(tensor.file, position, (end - start) * elementBytes);
      checksums.add(tensor, bytes, position);
      return bytes;
    }),
  );
}

/**
 * Uploads cos and sin of every position and frequency, [contextLength][n] of (cos, sin) f32, rounded as transformers
 * does it.
 */
export async function uploadRopeTable(
  context: GpuContext,
  { inverseFrequencies, scaling }: RopeTable,
  contextLength: number,
  buffer: GPUBuffer,
): Promise<void> {
  const half = inverseFrequencies.length;
  const table = new Float32Array(Math.min(ROPE_POSITIONS, contextLength) * half * 2);
  for (let first = 0; first < contextLength; first += ROPE_POSITIONS) {
    const count = Math.min(ROPE_POSITIONS, contextLength - first);
    for (let p = 0, word = 0; p < count; p++) {
      for (const frequency of inverseFrequencies) {
        // The angle is rounded to f32 as in transformers: at far positions that is what models were trained with.
        const angle = Math.fround((first + p) * frequency);
        table[word++] = Math.cos(angle) * scaling;
        table[word++] = Math.sin(angle) * scaling;
      }
    }
    context.device.queue.writeBuffer(buffer, first * half * 8, table, 0, count * half * 2);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The open files; each is opened once. */
class Files {
  readonly #open = new Map<string, Promise<AsyncFile>>();

  open(path: string): Promise<AsyncFile> {
    const file = this.#open.get(path) ?? openFileAsync(path);
    this.#open.set(path, file);
    return file;
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) {
      await (await file.catch(() => undefined))?.close();
    }
  }
}
