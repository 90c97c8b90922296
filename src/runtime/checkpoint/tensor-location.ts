/** Where a checkpoint keeps a tensor: what every format of weight files comes down to. */

/** Bytes of one element, by safetensors' name of the type. */
const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2: 1,
  F8_E5M2FNUZ: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  /** Complex numbers: buffers that some models have beside their weights (freqs_cis). C32 and C128 are PyTorch's alone. */
  C32: 4,
  C64: 8,
  C128: 16,
} as const;

/** The element types that are recognised; which of them a model can use is its affair. */
export type CheckpointDType = keyof typeof DTYPE_BYTES;

/** Where the elements and scales of a matrix's rows lie that a file has as MXFP4 (mxfp4.ts). */
export interface Mxfp4Rows {
  /** Bytes from the elements of one row to those of the next. */
  rowStride: number;
  /** The scales, one byte a group, s for 2^(s - 127); they may lie in another file. */
  scales: { name: string; file: string; offset: number; rowStride: number };
}

/** Where a tensor's bytes lie. Plain data: it is posted to worker threads. Elements are little-endian. */
export interface TensorLocation {
  name: string;
  dtype: CheckpointDType;
  /** The name of an element type that is none of these; then `dtype` is U8 and `shape` the number of bytes. */
  foreignType?: string;
  shape: readonly number[];
  /**
   * Elements from one index to the next, for each dimension, all >= 0. Absent: row-major without gaps, as in most files.
   * With strides the bytes may be spread over the file, and an element may stand for several: read such a tensor
   * through readTensorRows.
   */
  strides?: readonly number[];
  /** Path of the file. */
  file: string;
  /** Where the first element lies, in bytes from the start of the file. */
  offset: number;
  /** Bytes of the tensor's elements put together: the product of the shape times the size of an element. */
  byteLength: number;
  /**
   * Where the file has a matrix as MXFP4: `dtype`, `shape` and `byteLength` are of what readTensorRows makes of it, `offset` is
   * where the elements of the first row lie.
   */
  mxfp4?: Mxfp4Rows;
  /** CRC-32 of these bytes, where the file has it. */
  checksum?: number;
}

export const CHECKPOINT_DTYPES = Object.keys(DTYPE_BYTES) as readonly CheckpointDType[];

/** Bytes of one element. */
export function bytesPerElement(dtype: CheckpointDType): number {
  return DTYPE_BYTES[dtype];
}

/** Bytes of a tensor of that shape; undefined when they are beyond the integers that a number holds exactly. */
export function tensorBytes(dtype: CheckpointDType, shape: readonly number[]): number | undefined {
  const bytes = shape.reduce((product, size) => product * size, bytesPerElement(dtype));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

export function isCheckpointDType(name: string): name is CheckpointDType {
  return Object.hasOwn(DTYPE_BYTES, name);
}
