/**
 * The safetensors format: 8 bytes of header length (u64, little-endian), a JSON header, then the tensors' bytes
 * without gaps. Only the header is read here, and everything it says is checked before anything uses it.
 * Format and limits: https://github.com/huggingface/safetensors#format
 */
import { Parser } from "binary-parser";
import { clip } from "../../base/clip.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { REFETCH_FILE, remedyForForeignFile } from "./foreign-file.ts";
import { describeJson, isJsonObject, parseJsonObject } from "../../base/json.ts";
import { fileStatus, readFileRange } from "../platform/files.ts";
import { isCheckpointDType, tensorBytes, type TensorLocation } from "./tensor-location.ts";

export interface SafetensorsHeader {
  /** The tensors, in order of their offsets. */
  tensors: TensorLocation[];
  /** The header's `__metadata__`, for people; empty when there is none. */
  metadata: Record<string, string>;
}

/** The longest header that safetensors, the reference implementation, reads. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = "__metadata__";
const OPENING_BRACE = 0x7b;

const lengthParser = new Parser().uint64le("headerBytes");
const LENGTH_BYTES = lengthParser.sizeOf();

interface HeaderLength {
  headerBytes: bigint;
}

/**
 * Reads and checks the header of a safetensors file. Throws "not-found" when the file is not there, and
 * "invalid-checkpoint", naming file and tensor, when anything in it is not as the format says.
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
  const entries = parseJsonObject(header, {
    name: `The header of "${path}"`,
    code: "invalid-checkpoint",
    remedy: REFETCH_FILE,
  });

  const metadata = parseMetadata(path, entries[METADATA_KEY]);
  const tensors = Object.entries(entries)
    .filter(([name]) => name !== METADATA_KEY)
    .map(([name, entry]) => parseTensor(path, name, entry, dataStart, fileBytes));
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkCoverage(path, tensors, dataStart, fileBytes);
  return { tensors, metadata };
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined || value === null) {
    return {};
  }
  if (!isJsonObject(value) || Object.values(value).some((text) => typeof text !== "string")) {
    throw invalid(path, `"${METADATA_KEY}" is ${describeJson(value)}; expected an object of strings`);
  }
  return value as Record<string, string>;
}

function parseTensor(
  path: string,
  name: string,
  entry: unknown,
  dataStart: number,
  fileBytes: number,
): TensorLocation {
  if (!isJsonObject(entry)) {
    throw invalidTensor(
      path,
      name,
      `is ${describeJson(entry)}; expected an object of dtype, shape and data_offsets`,
    );
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") {
    throw invalidTensor(path, name, `has dtype ${describeJson(dtype)}; expected the name of a type`);
  }
  if (!isSizeList(shape)) {
    throw invalidTensor(path, name, `has shape ${describeJson(shape)}; expected a list of integers >= 0`);
  }
  if (!isSizeList(offsets) || offsets.length !== 2) {
    throw invalidTensor(path, name, `has data_offsets ${describeJson(offsets)}; expected two integers >= 0`);
  }
  const [begin = 0, end = 0] = offsets;
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
  if (!isCheckpointDType(dtype)) {
    // A type from after this program: whether anybody needs the tensor is not known here.
    const bytes = end - begin;
    return {
      name,
      dtype: "U8",
      foreignType: clip(dtype),
      shape: [bytes],
      file: path,
      offset: dataStart + begin,
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
  return { name, dtype, shape, file: path, offset: dataStart + begin, byteLength };
}

/** The format allows neither overlaps nor gaps: tensors cover the data exactly. `tensors` is sorted by offset. */
function checkCoverage(
  path: string,
  tensors: readonly TensorLocation[],
  dataStart: number,
  fileBytes: number,
): void {
  let covered = dataStart;
  let previous: string | undefined;
  for (const { name, offset, byteLength } of tensors) {
    const before = previous === undefined ? "the header ends" : `"${previous}" ends`;
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

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
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
  return new ModelComposeError("invalid-checkpoint", `Tensor "${name}" in "${path}" ${problem}.`, { remedy });
}
