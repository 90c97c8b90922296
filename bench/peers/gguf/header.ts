/** Writes what comes before the tensors' bytes in a GGUF file. */
import {
  align,
  MAGIC,
  TENSOR_TYPES,
  tensorBytes,
  VALUE_TYPES,
  VERSION,
  type Metadata,
  type MetadataValue,
  type TensorInfo,
} from "./format.ts";

/** Where the tensors of a file lie. */
export interface Layout {
  /** Header, metadata and table of tensors, with zeros up to the first tensor. */
  readonly header: Uint8Array;
  /** Where each tensor begins, in bytes from the start of the file; in the order of the tensors. */
  readonly offsets: readonly number[];
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/** Lays out a file of these tensors, in this order. */
export function layOut(metadata: Metadata, tensors: readonly TensorInfo[]): Layout {
  const bytes = new ByteList();
  bytes.uint32(MAGIC);
  bytes.uint32(VERSION);
  bytes.uint64(tensors.length);
  bytes.uint64(metadata.size);
  for (const [key, value] of metadata) {
    bytes.string(key);
    writeValue(bytes, value);
  }
  // The table counts from the first tensor, not from the start of the file.
  const relative: number[] = [];
  let end = 0;
  for (const tensor of tensors) {
    relative.push(end);
    bytes.string(tensor.name);
    bytes.uint32(tensor.shape.length);
    for (const size of [...tensor.shape].reverse()) {
      bytes.uint64(size);
    }
    bytes.uint32(TENSOR_TYPES[tensor.type].code);
    bytes.uint64(end);
    end = align(end + tensorBytes(tensor));
  }
  const start = align(bytes.length);
  bytes.zeros(start - bytes.length);
  return { header: bytes.join(), offsets: relative.map((offset) => start + offset), fileBytes: start + end };
}

function writeValue(bytes: ByteList, value: MetadataValue): void {
  switch (value.type) {
    case "uint32":
      bytes.uint32(VALUE_TYPES.uint32);
      bytes.uint32(value.value);
      break;
    case "float32":
      bytes.uint32(VALUE_TYPES.float32);
      bytes.add(new Uint8Array(Float32Array.of(value.value).buffer));
      break;
    case "bool":
      bytes.uint32(VALUE_TYPES.bool);
      bytes.add(Uint8Array.of(value.value ? 1 : 0));
      break;
    case "string":
      bytes.uint32(VALUE_TYPES.string);
      bytes.string(value.value);
      break;
    case "strings":
      bytes.uint32(VALUE_TYPES.array);
      bytes.uint32(VALUE_TYPES.string);
      bytes.uint64(value.values.length);
      for (const text of value.values) {
        bytes.string(text);
      }
      break;
    case "int32s":
      bytes.uint32(VALUE_TYPES.array);
      bytes.uint32(VALUE_TYPES.int32);
      bytes.uint64(value.values.length);
      bytes.add(new Uint8Array(Int32Array.from(value.values).buffer));
      break;
  }
}

/** Bytes that are put together at the end: vocabularies are some hundred thousand small pieces. */
class ByteList {
  readonly #parts: Uint8Array[] = [];
  readonly #encoder = new TextEncoder();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.byteLength;
  }

  uint32(value: number): void {
    this.add(new Uint8Array(Uint32Array.of(value).buffer));
  }

  uint64(value: number): void {
    this.add(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  /** Length in bytes, then the text as UTF-8. */
  string(text: string): void {
    const encoded = this.#encoder.encode(text);
    this.uint64(encoded.byteLength);
    this.add(encoded);
  }

  zeros(count: number): void {
    this.add(new Uint8Array(count));
  }

  join(): Uint8Array {
    const joined = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      joined.set(part, offset);
      offset += part.byteLength;
    }
    return joined;
  }
}
