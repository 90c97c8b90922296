/** Reads a tensor from a checkpoint and stores it in another type, some megabytes at a time. */
import { openFile } from "../../../src/runtime/platform/files.ts";
import { bytesPerElement } from "../../../src/runtime/checkpoint/tensor-location.ts";
import { vectorValues } from "../../../src/runtime/checkpoint/vector-values.ts";
import { readSliceRows } from "../../../src/runtime/checkpoint/weight-source.ts";
import type { TensorType } from "../gguf/format.ts";
import { store } from "../gguf/quantize.ts";
import type { TensorPlan } from "./tensors.ts";

const WINDOW_BYTES = 4 * 2 ** 20;

/** The type that a tensor of a checkpoint has already. */
const STORED_AS: Readonly<Record<string, TensorType>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/**
 * The bytes of a tensor in its type and order. The file is open while the parts are taken.
 *
 * @param windowBytes about how many bytes of the checkpoint are read at once: whole rows, of rotated ones whole heads
 */
export function* tensorParts(plan: TensorPlan, windowBytes = WINDOW_BYTES): Generator<Uint8Array> {
  const { weight, type, order } = plan;
  const { rows, columns, tensor } = weight;
  if (tensor.dtype === "I8") {
    throw new Error(`"${tensor.name}" is I8, with scales: it is not exported.`);
  }
  const { dtype } = tensor;
  const rowBytes = columns * bytesPerElement(dtype);
  // Rows of a head stay together, for they change places.
  const unit = order.kind === "halves" ? order.headDim : 1;
  const step = Math.max(1, Math.floor(windowBytes / (rowBytes * unit))) * unit;
  const file = openFile(tensor.file);
  try {
    for (let start = 0; start < rows; start += step) {
      const end = Math.min(start + step, rows);
      const read = new Uint8Array((end - start) * rowBytes);
      readSliceRows(file, weight, { start, end }, read);
      const bytes = order.kind === "halves" ? interleaveHalves(read, rowBytes, order.headDim) : read;
      yield STORED_AS[dtype] === type ? bytes : store(widen(dtype, bytes), type);
    }
  } finally {
    file.close();
  }
}

/** The numbers of a window as f32: what `vectorValues` does, in a loop for the type that most checkpoints have. */
function widen(dtype: "F32" | "F16" | "BF16", bytes: Uint8Array): Float32Array {
  if (dtype !== "BF16") {
    return vectorValues({ dtype }, bytes);
  }
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    words[i] = halves[i] << 16;
  }
  return new Float32Array(words.buffer);
}

/**
 * Orders the rows of each head so that row j of its first half is followed by row j of its second. RoPE turns such a
 * pair: transformers keeps pairs half a head apart, llama.cpp's Llama side by side.
 *
 * @param bytes whole heads of `headDim` rows
 */
export function interleaveHalves(bytes: Uint8Array, rowBytes: number, headDim: number): Uint8Array {
  const target = new Uint8Array(bytes.byteLength);
  const half = headDim / 2;
  for (let row = 0; row * rowBytes < bytes.byteLength; row++) {
    const head = Math.floor(row / headDim);
    const within = row % headDim;
    const to = head * headDim + (within < half ? 2 * within : 2 * (within - half) + 1);
    target.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
  }
  return target;
}
