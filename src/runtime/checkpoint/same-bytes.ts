/** Whether two tensors of weight files are the same numbers. */
import { openFileAsync } from "../platform/files.ts";
import type { TensorLocation } from "./tensor-location.ts";

const CHUNK_BYTES = 4 * 2 ** 20;

/** Whether two tensors have the same type, shape and bytes. Tensors with strides are told apart by where they lie alone. */
export async function haveSameBytes(a: TensorLocation, b: TensorLocation): Promise<boolean> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) {
    return false;
  }
  if (a.file === b.file && a.offset === b.offset && a.strides?.join() === b.strides?.join()) {
    return true;
  }
  if (a.strides !== undefined || b.strides !== undefined) {
    return false;
  }
  await using files = new AsyncDisposableStack();
  const [one, other] = [await openFileAsync(a.file), await openFileAsync(b.file)];
  files.defer(() => one.close());
  files.defer(() => other.close());
  for (let done = 0; done < a.byteLength; done += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, a.byteLength - done);
    const [left, right] = [Buffer.alloc(length), Buffer.alloc(length)];
    await Promise.all([one.read(left, a.offset + done), other.read(right, b.offset + done)]);
    if (!left.equals(right)) {
      return false;
    }
  }
  return true;
}
