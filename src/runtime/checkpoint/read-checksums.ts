/**
 * CRC-32 of tensors beside their loading: the parts that are read are summed up, in any order and on any thread, and nothing is
 * read for it. The CRC-32 of bytes is the sum (exclusive or) of those of their parts, each moved by as many places as bytes
 * come after it.
 */
import { crc32 } from "node:zlib";
import { clip } from "../../base/clip.ts";
import { ModelComposeError } from "../../base/errors.ts";
import type { OpenFile } from "../platform/files.ts";
import type { RowRange } from "../program.ts";
import { REFETCH_FILE } from "./foreign-file.ts";
import type { TensorLocation } from "./tensor-location.ts";
import type { WeightSlice } from "./weight-source.ts";

/** What was read of a tensor. */
export interface PartialChecksum {
  /** The parts' checksums, moved to their places and summed up. */
  sum: number;
  bytes: number;
}

/** What was read of tensors, by their names. Plain data: workers post it. */
export type PartialChecksums = ReadonlyMap<string, PartialChecksum>;

/** Sums up what one thread reads. */
export class ReadChecksums {
  readonly #parts = new Map<string, PartialChecksum>();
  #run: { tensor: TensorLocation; start: number; end: number; checksum: number } | undefined;

  /** The file, of which all that is read belongs to the tensor and is summed up; as it is for one without a checksum. */
  watch(file: OpenFile, tensor: TensorLocation): OpenFile {
    if (tensor.checksum === undefined) {
      return file;
    }
    return {
      ...file,
      read: (target, position) => {
        file.read(target, position);
        this.add(tensor, target, position);
      },
    };
  }

  /** What was read so far. */
  parts(): PartialChecksums {
    this.#endRun();
    return this.#parts;
  }

  /** Sums up bytes that were read of a tensor. @param position where they begin in the file */
  add(tensor: TensorLocation, bytes: Uint8Array, position: number): void {
    if (tensor.checksum === undefined) {
      return;
    }
    if (this.#run?.tensor !== tensor || this.#run.end !== position) {
      this.#endRun();
      this.#run = { tensor, start: position, end: position, checksum: 0 };
    }
    this.#run.checksum = crc32(bytes, this.#run.checksum);
    this.#run.end += bytes.byteLength;
  }

  #endRun(): void {
    if (this.#run === undefined) {
      return;
    }
    const { tensor, start, end, checksum } = this.#run;
    const { sum, bytes } = this.#parts.get(tensor.name) ?? { sum: 0, bytes: 0 };
    const behind = tensor.offset + tensor.byteLength - end;
    this.#parts.set(tensor.name, { sum: sum ^ moved(checksum, behind), bytes: bytes + end - start });
    this.#run = undefined;
  }
}

/**
 * Compares tensors with the checksums that their files have. Those of which not all was read are passed over.
 *
 * @param slices the weights that were read, each of their rows once
 * @throws ModelComposeError "invalid-checkpoint" for the first that is damaged
 */
export function compareChecksums(slices: readonly WeightSlice[], parts: readonly PartialChecksums[]): void {
  for (const { tensor, checksum } of wholeTensors(slices)) {
    const read = parts.flatMap((some) => some.get(tensor.name) ?? []);
    const sum = read.reduce((all, part) => all ^ part.sum, 0) >>> 0;
    const bytes = read.reduce((all, part) => all + part.bytes, 0);
    if (bytes === tensor.byteLength && sum !== checksum) {
      throw new ModelComposeError(
        "invalid-checkpoint",
        `Tensor "${clip(tensor.name)}" in "${tensor.file}" has the checksum ${hex(sum)}, and should have ` +
          `${hex(checksum)}: it is damaged.`,
        { remedy: REFETCH_FILE },
      );
    }
  }
}

/** The tensors with checksums of which the slices together have each row once. */
function wholeTensors(slices: readonly WeightSlice[]): { tensor: TensorLocation; checksum: number }[] {
  const byName = Map.groupBy(slices, ({ tensor }) => tensor.name);
  return [...byName.values()].flatMap((some) => {
    const [{ tensor, transposed }] = some;
    const { checksum, shape } = tensor;
    const rows = transposed ? shape.at(1) : shape.at(0);
    const ranges = some.flatMap((slice) => slice.ranges);
    return checksum !== undefined && areWhole(ranges, rows ?? 0) ? [{ tensor, checksum }] : [];
  });
}

function areWhole(ranges: readonly RowRange[], rows: number): boolean {
  let end = 0;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    if (range.start !== end) {
      return false;
    }
    end = range.end;
  }
  return end === rows;
}

const hex = (checksum: number): string => checksum.toString(16).padStart(8, "0");

/** CRC-32's polynomial and all polynomials here have the coefficient of x^0 as their highest bit. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;
/** The polynomials x^(2^n) modulo CRC-32's, for n from 0 to 31; from there on they are the same again. */
const SQUARES: readonly number[] = squares();

function squares(): number[] {
  const powers = [ONE >>> 1];
  for (let n = 1; n < 32; n++) {
    const last = powers[n - 1] ?? 0;
    powers.push(product(last, last));
  }
  return powers;
}

/** The checksum of bytes where they are followed by others, less that of the others: multiplied by x^(8 · bytes). */
function moved(checksum: number, bytes: number): number {
  let result = checksum;
  for (let n = 3, rest = bytes; rest > 0; n++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) {
      result = product(SQUARES[n % 32] ?? 0, result);
    }
  }
  return result;
}

/** The product of two polynomials modulo CRC-32's. */
function product(a: number, b: number): number {
  let sum = 0;
  let shifted = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) {
      sum ^= shifted;
    }
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ POLYNOMIAL;
  }
  return sum >>> 0;
}
