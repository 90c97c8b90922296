/** Reads GGUF files for tests, as the format's description has them: nothing here knows the writer. */
import { readFile } from "node:fs/promises";

export interface GgufTensor {
  /** The dimensions as the file has them: the fastest first. */
  dimensions: number[];
  /** ggml_type. */
  type: number;
  /** Bytes from the first tensor's place to this one's. */
  offset: number;
}

export interface GgufFile {
  version: number;
  metadata: Map<string, unknown>;
  tensors: Map<string, GgufTensor>;
  /** Where the first tensor lies in the file. */
  dataStart: number;
  bytes: Buffer;
}

const ALIGNMENT = 32;

export async function readGguf(path: string): Promise<GgufFile> {
  const bytes = await readFile(path);
  let at = 0;
  const advance = (count: number): number => {
    at += count;
    return at - count;
  };
  const uint32 = (): number => bytes.readUInt32LE(advance(4));
  const uint64 = (): number => Number(bytes.readBigUInt64LE(advance(8)));
  const string = (): string => {
    const length = uint64();
    const start = advance(length);
    return bytes.toString("utf8", start, start + length);
  };
  const value = (type: number): unknown => {
    switch (type) {
      case 4:
        return uint32();
      case 5:
        return bytes.readInt32LE(advance(4));
      case 6:
        return bytes.readFloatLE(advance(4));
      case 7:
        return bytes.readUInt8(advance(1)) === 1;
      case 8:
        return string();
      case 9: {
        const element = uint32();
        return Array.from({ length: uint64() }, () => value(element));
      }
      default:
        throw new Error(`a value of the type ${type}`);
    }
  };
  if (bytes.toString("latin1", 0, advance(4) + 4) !== "GGUF") {
    throw new Error("no GGUF file");
  }
  const version = uint32();
  const tensorCount = uint64();
  const valueCount = uint64();
  const metadata = new Map<string, unknown>();
  for (let i = 0; i < valueCount; i++) {
    const key = string();
    metadata.set(key, value(uint32()));
  }
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const name = string();
    const dimensions = Array.from({ length: uint32() }, uint64);
    tensors.set(name, { dimensions, type: uint32(), offset: uint64() });
  }
  const dataStart = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
  return { version, metadata, tensors, dataStart, bytes };
}

/** `length` bytes of a tensor, from its byte `from` on. */
export function tensorPart(file: GgufFile, name: string, from: number, length: number): Buffer {
  const { offset } = file.tensors.get(name)!;
  const start = file.dataStart + offset + from;
  return file.bytes.subarray(start, start + length);
}
