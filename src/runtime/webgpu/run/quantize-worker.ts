/** Entry of a thread that quantises weights while a program is loaded: rows of a checkpoint become rows for the GPU. */
import { elementBytes, FORMATS } from "../../../kernels/format.ts";
import { instantiateKernels } from "../../../kernels/wasm-module.ts";
import { ReadChecksums } from "../../checkpoint/read-checksums.ts";
import { notFinite, readSliceRows } from "../../checkpoint/weight-source.ts";
import { openFile, type OpenFile } from "../../platform/files.ts";
import { workerScope } from "../../platform/workers.ts";
import { serializeError } from "../../posted-error.ts";
import type { QuantizedPiece, QuantizerData, QuantizerReply, QuantizerRequest } from "./quantizer.ts";

const PAGE = 65536;

const { port, data } = workerScope();
const { module, target, sizes } = data as QuantizerData;

// The module's constants are in the first page.
const window = PAGE;
const laid = window + sizes.window;
const scratch = laid + sizes.laid;
const pages = Math.ceil((scratch + sizes.scratch) / PAGE);
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
const kernels = instantiateKernels(module, memory);

const files = new Map<string, OpenFile>();
function fileOf(path: string): OpenFile {
  const file = files.get(path) ?? openFile(path);
  files.set(path, file);
  return file;
}

const checksums = new ReadChecksums();

/** Fills the target with the piece's rows. */
function quantize({ source, range, format, stride }: QuantizedPiece): void {
  const rowBytes = elementBytes(source.format, source.columns);
  const most = Math.max(1, Math.floor(Math.min(sizes.window / rowBytes, sizes.laid / stride)));
  for (let row = range.start; row < range.end; row += most) {
    const end = Math.min(row + most, range.end);
    const bytes = new Uint8Array(memory.buffer, window, (end - row) * rowBytes);
    const file = checksums.watch(fileOf(source.tensor.file), source.tensor);
    readSliceRows(file, source, { start: row, end }, bytes);
    const areFinite = kernels.quantize_rows_gpu(
      window,
      rowBytes,
      source.columns,
      end - row,
      laid,
      stride,
      FORMATS[source.format].code,
      FORMATS[format].code,
      scratch,
    );
    if (areFinite !== 1) {
      throw notFinite(source, format);
    }
    const rows = new Uint8Array(memory.buffer, laid, (end - row) * stride);
    new Uint8Array(target).set(rows, (row - range.start) * stride);
  }
}

port.on("message", (request: QuantizerRequest) => {
  let reply: QuantizerReply = {};
  try {
    if (request === "checksums") {
      reply = { checksums: checksums.parts() };
    } else {
      quantize(request);
    }
  } catch (error) {
    reply = { error: serializeError(error) };
  }
  port.postMessage(reply);
});
