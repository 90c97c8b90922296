/**
 * The safetensors format: 8 bytes of header length (u64, little-endian), a JSON header, then the tensors' bytes
 * without gaps. Only the header is read here, and everything it says is checked before anything uses it.
 * Format and limits: https://github.com/huggingface/safetensors#format
 */
import { Parser } from "binary-parser";
import { ModelComposeError } from "../../base/errors.ts";
import { clip } from "../../base/clip.ts";
import { JsonReader, JsonSyntaxFault } from "../../base/json-reader.ts";
import { fileStatus, readFileRange } from "../platform/files.ts";
import { REFETCH_FILE, remedyForForeignFile } from "./foreign-file.ts";
import { isCheckpointDType, tensorBytes, type TensorLocation } from "./tensor-location.ts";

export interface SafetensorsHeader {
  /** The tensors, in order of their offsets. */
  tensors: TensorLocation[];
}

/** The longest header that safetensors, the reference implementation, reads. */
const MAX_HEADER_BYTES = 100_000_000;
/**
 * Tensors of one file: a hundred times those of published shards. What is kept of so many takes less memory than the
 * longest header.
 */
const MOST_TENSORS = 200_000;
/** Dimensions of a tensor: PyTorch's limit. */
const MOST_DIMENSIONS = 64;
const METADATA_KEY = "__metadata__";
const OPENING_BRACE = 0x7b;

const lengthParser = new Parser().uint64le("headerBytes");
const LENGTH_BYTES = lengthParser.sizeOf();

interface HeaderLength {
  headerBytes: bigint;
}

/**
 * Reads and checks the header of a safetensors file. Its `__metadata__` is for people and is passed over. The header is read
 * value by value: beside its bytes there is only what is returned.
 *
 * @throws ModelComposeError "not-found" when the file is not there, and "invalid-checkpoint", naming file and tensor, when
 *   anything in it is not as the format says
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const fileBytes = (await fileStatus(path))?.size ?? 0;
  const start = await readFileRange(path, 0, Math.min(LENGTH_BYTES, fileBytes));
  if (start.byteLength < LENGTH_BYTES) {
    throw invalid(path, `it has ${fileBytes} bytes; expected at least ${LENGTH_BYTES}`);
  }
  const headerBytes = Number((lengthParser.parse(start) as HeaderLength).headerBytes);
  if (headerBytes > MAX_HEADER_BYTES) {
    throw invalid(
      path,
      `its first 8 bytes give a header of ${headerBytes} bytes; expected at most ${MAX_HEADER_BYTES}`,
      await remedyForForeignFile(path),
    );
  }
  const dataStart = LENGTH_BYTES + headerBytes;
  if (dataStart > fileBytes) {
    throw invalid(path, `its header should end at byte ${dataStart}, but the file has ${fileBytes} bytes`);
  }
  const header = await readFileRange(path, LENGTH_BYTES, headerBytes);
  if (header[0] !== OPENING_BRACE) {
    throw invalid(path, 'its header does not begin with "{"');
  }
  const tensors = readTensors(path, header, { dataStart, fileBytes });
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkCoverage(path, tensors, dataStart, fileBytes);
  return { tensors };
}

interface DataExtent {
  dataStart: number;
  fileBytes: number;
}

function readTensors(path: string, header: Uint8Array, extent: DataExtent): TensorLocation[] {
  const reader = new JsonReader(header);
  const tensors: TensorLocation[] = [];
  const names = new Set<string>();
  const onKey = (name: string): void => {
    if (names.has(name)) {
      throw invalid(path, `its header has the key "${clip(name)}" twice`);
    }
    names.add(name);
    if (name === METADATA_KEY) {
      reader.skip();
      return;
    }
    tensors.push(readTensor(path, name, reader, extent));
    if (tensors.length > MOST_TENSORS) {
      throw invalid(path, `its header has more than ${MOST_TENSORS} tensors`);
    }
  };
  try {
    reader.object(onKey);
    reader.end();
  } catch (error) {
    if (error instanceof JsonSyntaxFault) {
      throw invalid(path, `its header is not JSON: ${error.message}`);
    }
    throw error;
  }
  return tensors;
}

function readTensor(
  path: string,
  name: string,
  reader: JsonReader,
  { dataStart, fileBytes }: DataExtent,
): TensorLocation {
  if (reader.kind() !== "object") {
    throw invalidTensor(
      path,
      name,
      `is ${reader.describe()}; expected an object of dtype, shape and data_offsets`,
    );
  }
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const once = (key: string, before: unknown): void => {
    if (before !== undefined) {
      throw invalidTensor(path, name, `has "${key}" twice`);
    }
  };
  reader.object((key) => {
    if (key === "dtype") {
      once(key, dtype);
      dtype = readDType(path, name, reader);
    } else if (key === "shape") {
      once(key, shape);
      shape = readSizes(reader, MOST_DIMENSIONS, (found) =>
        invalidTensor(
          path,
          name,
          `has shape ${found}; expected a list of integers >= 0, at most ${MOST_DIMENSIONS}`,
        ),
      );
    } else if (key === "data_offsets") {
      once(key, offsets);
      offsets = readSizes(reader, 2, (found) =>
        invalidTensor(path, name, `has data_offsets ${found}; expected two integers >= 0`),
      );
    } else {
      reader.skip();
    }
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const missing = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
    throw invalidTensor(path, name, `has no "${missing}"`);
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) {
    throw invalidTensor(
      path,
      name,
      `has data_offsets ${JSON.stringify(offsets)}; expected two integers >= 0`,
    );
  }
  const dataBytes = fileBytes - dataStart;
  if (begin > end) {
    throw invalidTensor(path, name, `has data_offsets [${begin}, ${end}]; expected begin <= end`);
  }
  if (end > dataBytes) {
    throw invalidTensor(
      path,
      name,
      `ends at byte ${end} of the data, but the file holds ${dataBytes} bytes of data`,
    );
  }
  const offset = dataStart + begin;
  if (!isCheckpointDType(dtype)) {
    // A type from after this program: whether anybody needs the tensor is not known here.
    const bytes = end - begin;
    return {
      name,
      dtype: "U8",
      foreignType: clip(dtype),
      shape: [bytes],
      file: path,
      offset,
      byteLength: bytes,
    };
  }
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength !== end - begin) {
    throw invalidTensor(
      path,
      name,
      `of dtype ${dtype} and shape [${shape.join(", ")}] takes ${byteLength ?? "more than 2^53"} bytes, ` +
        `but its data_offsets [${begin}, ${end}] span ${end - begin}`,
    );
  }
  return { name, dtype, shape, file: path, offset, byteLength };
}

/** The type of a tensor's elements, whether or not it is one that is recognised. */
function readDType(path: string, name: string, reader: JsonReader): string {
  if (reader.kind() !== "string") {
    throw invalidTensor(path, name, `has dtype ${reader.describe()}; expected the name of a type`);
  }
  return reader.string();
}

/** Reads a list of at most `most` sizes; `wrong` makes the error for anything else. */
function readSizes(reader: JsonReader, most: number, wrong: (found: string) => Error): number[] {
  if (reader.kind() !== "list") {
    throw wrong(reader.describe());
  }
  const sizes: number[] = [];
  reader.list(() => {
    if (sizes.length === most) {
      throw wrong(`[${sizes.slice(0, 8).join(",")},…] of more than ${most} numbers`);
    }
    const size = reader.kind() === "number" ? reader.number() : undefined;
    if (size === undefined || !Number.isSafeInteger(size) || size < 0) {
      throw wrong(`[${[...sizes, size ?? reader.describe()].join(",")},…]`);
    }
    sizes.push(size);
  });
  // A list that grew has room for more, which half a million of them would pay for.
  return sizes.slice();
}

/** The format allows neither overlaps nor gaps: tensors cover the data exactly. `tensors` are sorted by offset. */
function checkCoverage(
  path: string,
  tensors: readonly TensorLocation[],
  dataStart: number,
  fileBytes: number,
): void {
  let covered = dataStart;
  let previous: string | undefined;
  for (const { name, offset, byteLength } of tensors) {
    const before = previous === undefined ? "the header ends" : `"${clip(previous)}" ends`;
    if (offset !== covered) {
      const kind = offset < covered ? "overlap" : "gap";
      throw invalidTensor(
        path,
        name,
        `begins at byte ${offset - dataStart} of the data, but ${before} at byte ${covered - dataStart} (${kind})`,
      );
    }
    covered = offset + byteLength;
    previous = name;
  }
  if (covered !== fileBytes) {
    throw invalid(path, `its tensors end at byte ${covered}, but the file has ${fileBytes} bytes`);
  }
}

function invalid(path: string, problem: string, remedy = REFETCH_FILE): ModelComposeError {
  return new ModelComposeError("invalid-checkpoint", `"${path}" is not a safetensors file: ${problem}.`, {
    remedy,
  });
}

function invalidTensor(
  path: string,
  name: string,
  problem: string,
  remedy = REFETCH_FILE,
): ModelComposeError {
  return new ModelComposeError("invalid-checkpoint", `Tensor "${clip(name)}" in "${path}" ${problem}.`, {
    remedy,
  });
}
