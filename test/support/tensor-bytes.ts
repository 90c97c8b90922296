/** A tensor's elements, row-major, by the definition of strides: one by one, from the whole file. */
import { readFileSync } from "node:fs";
import { openFile } from "../../src/runtime/platform/files.ts";
import { bytesPerElement, type TensorLocation } from "../../src/runtime/checkpoint/tensor-location.ts";
import { readTensorRows } from "../../src/runtime/checkpoint/weight-reader.ts";

export function tensorBytesByDefinition(
  tensor: TensorLocation,
  file = readFileSync(tensor.file),
): Uint8Array {
  const { dtype, shape, strides = rowMajorStrides(shape), offset } = tensor;
  const size = bytesPerElement(dtype);
  const count = shape.reduce((a, b) => a * b, 1);
  const bytes = new Uint8Array(count * size);
  for (let element = 0; element < count; element++) {
    let rest = element;
    let index = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index += (rest % shape[axis]) * strides[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    const from = offset + index * size;
    if (from + size > file.length) {
      throw new Error(`"${tensor.name}" lies outside the file`);
    }
    bytes.set(file.subarray(from, from + size), element * size);
  }
  return bytes;
}

/** All bytes of a matrix or vector as devices read it. */
export function readWhole(tensor: TensorLocation): Uint8Array {
  const file = openFile(tensor.file);
  try {
    const bytes = new Uint8Array(tensor.byteLength);
    readTensorRows(file, tensor, { start: 0, end: tensor.shape[0] }, bytes);
    return bytes;
  } finally {
    file.close();
  }
}

function rowMajorStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
}
