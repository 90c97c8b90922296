/** One-dimensional weights (norm gains, biases) as f32: a few thousand numbers that every device widens once. */
import type { WeightTensor } from "./checkpoint.ts";
import type { VectorSlice } from "./weight-source.ts";

/**
 * The numbers of a vector as f32.
 *
 * @param bytes the elements as the file has them, at an offset that their type allows
 * @param made which of them make up the vector, and what is made of each
 */
export function vectorValues(
  { dtype }: Pick<WeightTensor, "dtype">,
  bytes: Uint8Array,
  { gather, affine }: Pick<VectorSlice, "gather" | "affine"> = {},
): Float32Array {
  const read = widened(dtype, bytes);
  const values = gather === undefined ? read : Float32Array.from(gather, (i) => read[i]);
  return affine === undefined ? values : values.map((value) => value * affine.scale + affine.offset);
}

function widened(dtype: WeightTensor["dtype"], bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case "BF16": {
      const words = Uint32Array.from(
        new Uint16Array(buffer, byteOffset, byteLength / 2),
        (half) => half << 16,
      );
      return new Float32Array(words.buffer);
    }
    case "F16":
      return Float32Array.from(new Uint16Array(buffer, byteOffset, byteLength / 2), widenHalf);
  }
}

/** The number that IEEE 754 binary16 bits stand for, subnormals, infinities and NaN included. */
function widenHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 0) {
    return sign * mantissa * 2 ** -24;
  }
  if (exponent === 31) {
    return mantissa === 0 ? sign * Infinity : NaN;
  }
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
