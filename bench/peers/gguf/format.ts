/**
 * The GGUF format, version 3: a header, metadata, a table of tensors, then their bytes, each at a multiple of the
 * alignment. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. All numbers are little-endian.
 */

/** "GGUF". */
export const MAGIC = 0x46554747;
export const VERSION = 3;
/** Bytes of whose multiples tensors begin at, counted from where the first begins; readers' default. */
export const ALIGNMENT = 32;

/** How values of metadata are written. */
export const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** A value of the metadata. */
export type MetadataValue =
  | { type: "uint32" | "float32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; values: readonly string[] }
  | { type: "int32s"; values: readonly number[] };

export type Metadata = ReadonlyMap<string, MetadataValue>;

interface TensorTypeSpec {
  /** ggml_type. */
  readonly code: number;
  /** llama_ftype: what a whole file is said to be when its matrices have this type. */
  readonly fileType: number;
  /** Neighbouring columns that are stored together. */
  readonly blockColumns: number;
  readonly blockBytes: number;
}

/** The types of tensors that are written here. */
export const TENSOR_TYPES = {
  f32: { code: 0, fileType: 0, blockColumns: 1, blockBytes: 4 },
  f16: { code: 1, fileType: 1, blockColumns: 1, blockBytes: 2 },
  q4_0: { code: 2, fileType: 2, blockColumns: 32, blockBytes: 18 },
  q8_0: { code: 8, fileType: 7, blockColumns: 32, blockBytes: 34 },
  bf16: { code: 30, fileType: 32, blockColumns: 1, blockBytes: 2 },
} as const satisfies Readonly<Record<string, TensorTypeSpec>>;

export type TensorType = keyof typeof TENSOR_TYPES;

/** A tensor of the file. */
export interface TensorInfo {
  readonly name: string;
  /** [rows, columns] of a matrix, [length] of a vector; the file has the dimensions the other way round. */
  readonly shape: readonly number[];
  readonly type: TensorType;
}

/** Bytes of a row of `columns` numbers. `columns` must be a multiple of the type's block. */
export function rowBytes(type: TensorType, columns: number): number {
  const { blockColumns, blockBytes } = TENSOR_TYPES[type];
  return (columns / blockColumns) * blockBytes;
}

/** Bytes of a tensor, without what follows it up to the alignment. */
export function tensorBytes({ shape, type }: TensorInfo): number {
  const columns = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return rows * rowBytes(type, columns);
}

/** The next multiple of the alignment. */
export function align(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}
