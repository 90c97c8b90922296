/**
 * Quantises weights while a program is loaded: which rows are quantised at a time, and the threads that do it, each with a
 * small memory of its own. A thread reads rows of a checkpoint and leaves rows for the GPU where the main thread copies them
 * from.
 */
import { errorMessage, ModelComposeError } from "../../../base/errors.ts";
import { elementBytes, isQuantized, type QuantizedFormat } from "../../../kernels/format.ts";
import { kernelBytes } from "../../../kernels/wasm-module.ts";
import type { PartialChecksums } from "../../checkpoint/read-checksums.ts";
import type { WeightSlice } from "../../checkpoint/weight-source.ts";
import { startWorker, workerUrl, type Worker } from "../../platform/workers.ts";
import { deserializeError, type SerializedError } from "../../posted-error.ts";
import type { RowRange } from "../../program.ts";
import { overlap, type Weight } from "../plan/layout.ts";

/** Bytes that the main thread copies at once, and bytes of the checkpoint that a thread makes them of. */
const PIECE_BYTES = 2 ** 20;
const SOURCE_BYTES = 8 * 2 ** 20;
/** Bytes that are read at once where rows lie one behind the other: they stay in the L2 cache until they are quantised. */
const WINDOW_BYTES = 512 * 1024;

/** Rows of one matrix that become consecutive rows of a GPU buffer. */
export interface QuantizedPiece {
  source: WeightSlice;
  range: RowRange;
  /** What the rows become. */
  format: QuantizedFormat;
  rows: number;
  /** Bytes of a row in the file. */
  rowBytes: number;
  /** Bytes from one row to the next in the buffer. */
  stride: number;
  buffer: string;
  /** Where the first row goes in the buffer, in bytes. */
  offset: number;
}

/** The pieces of all weights that are quantised, in the order of the files. */
export function quantizedPiecesOf(
  weights: Iterable<Weight>,
  { pieceBytes = PIECE_BYTES, sourceBytes = SOURCE_BYTES } = {},
): QuantizedPiece[] {
  const pieces: QuantizedPiece[] = [];
  for (const { format, stride, parts, shards } of weights) {
    if (!isQuantized(format)) {
      continue;
    }
    for (const { source, first } of parts) {
      const rowBytes = elementBytes(source.format, source.columns);
      const most = Math.max(1, Math.floor(Math.min(pieceBytes / stride, sourceBytes / rowBytes)));
      for (const shard of shards) {
        const { start, end } = overlap({ source, first }, shard);
        for (let row = start; row < end; row += most) {
          const rows = Math.min(most, end - row);
          pieces.push({
            source,
            range: { start: row - first, end: row - first + rows },
            format,
            rows,
            rowBytes,
            stride,
            buffer: shard.buffer,
            offset: (row - shard.first) * stride,
          });
        }
      }
    }
  }
  return pieces.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : placeOf(a) > placeOf(b) ? 1 : 0));
}

/** A text that is in the order in which pieces are read. */
function placeOf({ source: { tensor }, range }: QuantizedPiece): string {
  return [tensor.file, padded(tensor.offset), padded(range.start)].join("\n");
}

const padded = (value: number): string => value.toString().padStart(16, "0");

/** Bytes of the parts of a thread's memory. */
export interface QuantizerSizes {
  /** Rows as the checkpoint has them. */
  window: number;
  /** Rows as the GPU has them. */
  laid: number;
  scratch: number;
}

export interface QuantizerData {
  module: WebAssembly.Module;
  /** Where the rows of a piece are left. */
  target: SharedArrayBuffer;
  sizes: QuantizerSizes;
}

/** A piece, or what was read of tensors that have checksums. */
export type QuantizerRequest = QuantizedPiece | "checksums";

/** The answer to a piece, when its rows are in the target; `checksums` to the other request. */
export interface QuantizerReply {
  error?: SerializedError;
  checksums?: PartialChecksums;
}

/** What the largest of these pieces takes. */
export function quantizerSizes(pieces: readonly QuantizedPiece[]): QuantizerSizes & { target: number } {
  const most = (bytesOf: (piece: QuantizedPiece) => number): number =>
    Math.ceil(Math.max(0, ...pieces.map(bytesOf)) / 64) * 64;
  return {
    // A transposed tensor is read in runs as long as the window has rows.
    window: most(({ source, rows, rowBytes }) =>
      source.transposed ? rows * rowBytes : Math.min(rows * rowBytes, Math.max(WINDOW_BYTES, rowBytes)),
    ),
    laid: most(({ rows, stride }) => rows * stride),
    // Columns as f32, and scale and zero of each group.
    scratch: most(({ source }) => Math.ceil(source.columns / 32) * (32 + 2) * 4),
    target: most(({ rows, stride }) => rows * stride),
  };
}

/** One thread. It quantises one piece at a time. */
export class Quantizer {
  readonly #target: SharedArrayBuffer;
  readonly #worker: Worker;
  #settle: ((answer: QuantizerReply | ModelComposeError) => void) | undefined;
  #failure: ModelComposeError | undefined;

  constructor(
    module: WebAssembly.Module,
    index: number,
    { target, ...sizes }: ReturnType<typeof quantizerSizes>,
  ) {
    this.#target = new SharedArrayBuffer(target);
    const data: QuantizerData = { module, target: this.#target, sizes };
    const url = workerUrl(import.meta.url, { source: "./quantize-worker.ts", bundled: "quantize-worker.js" });
    this.#worker = startWorker(url, { name: `model-compose quantize ${index}`, data });
    this.#worker.on("message", (reply: QuantizerReply) => {
      this.#settle?.(reply.error === undefined ? reply : deserializeError(reply.error));
    });
    this.#worker.on("error", (error: unknown) => {
      this.#lose(error);
    });
    this.#worker.on("exit", (code) => {
      this.#lose(new Error(`it ended with code ${code}`));
    });
  }

  /**
   * Quantises a piece.
   *
   * @returns its rows; they stay until the next call
   * @throws ModelComposeError "invalid-checkpoint" for a weight that is no finite number and for a file that ends early,
   *   "not-found", "device" when the thread was lost
   */
  async quantize(piece: QuantizedPiece): Promise<Uint8Array> {
    await this.#ask(piece);
    return new Uint8Array(this.#target, 0, piece.rows * piece.stride);
  }

  /** What the thread has read of tensors that have checksums. @throws ModelComposeError "device" when it was lost */
  async checksums(): Promise<PartialChecksums> {
    const { checksums } = await this.#ask("checksums");
    return checksums ?? new Map();
  }

  #ask(request: QuantizerRequest): Promise<QuantizerReply> {
    if (this.#failure !== undefined) {
      return Promise.reject(this.#failure);
    }
    return new Promise((resolve, reject) => {
      this.#settle = (answer) => {
        if (answer instanceof ModelComposeError) {
          reject(answer);
        } else {
          resolve(answer);
        }
      };
      this.#worker.postMessage(request);
    });
  }

  async dispose(): Promise<void> {
    await this.#worker.terminate();
  }

  #lose(error: unknown): void {
    this.#failure ??= new ModelComposeError(
      "device",
      `A thread that quantises weights was lost: ${errorMessage(error)}.`,
      { remedy: "Load the model again.", cause: error },
    );
    this.#settle?.(this.#failure);
  }
}

/** The kernels, for all threads. Every build of them gives the same bits here, so the one that runs everywhere is taken. */
export function quantizerModule(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(kernelBytes("baseline"));
}
