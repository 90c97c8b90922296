/** Reads the numbers and strings of a pickle, every length checked against the bytes that are there. */
import { ModelComposeError } from "../../../base/errors.ts";
import { REFETCH_FILE } from "../foreign-file.ts";

/** The largest pickle that is read; those of state dicts take about 100 bytes a tensor. */
export const MAX_PICKLE_BYTES = 32 * 2 ** 20;
/** The longest integer that is read; torch's magic number takes 10 bytes. */
const MAX_INTEGER_BYTES = 16;
const MAX_NAME_BYTES = 1024;
const NEWLINE = 0x0a;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface PickleSource {
  /** Name of the file, or of the file and the part of it, for errors. */
  name: string;
  /** The pickle begins at `start`; what follows it is not looked at. */
  bytes: Uint8Array;
  start: number;
}

/** The bytes ended within the pickle; where they are the start of a file, more of it may help. */
export class PickleEndsEarly extends ModelComposeError {
  constructor(source: string, position: number) {
    super("invalid-checkpoint", `The pickle in ${source} is cut off at byte ${position}.`, {
      remedy: REFETCH_FILE,
    });
  }
}

/** All its calls throw "invalid-checkpoint" for what is malformed or too long, and PickleEndsEarly. */
export class PickleBytes {
  readonly #source: PickleSource;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position: number;

  constructor(source: PickleSource) {
    const { bytes, start } = source;
    this.#source = source;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#position = start;
  }

  /** Index of the next byte. */
  get position(): number {
    return this.#position;
  }

  /** A signed integer, little-endian. */
  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** A float64, big-endian as in BINFLOAT. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  /** The index of the next `count` bytes, which are there. */
  #advance(count: number): number {
    const position = this.#position;
    if (count > MAX_PICKLE_BYTES) {
      throw this.invalid(`holds a value of ${count} bytes`);
    }
    if (position + count > this.#bytes.length) {
      throw new PickleEndsEarly(this.#source.name, this.#bytes.length);
    }
    this.#position += count;
    return position;
  }

  /** The next `count` bytes. */
  take(count: number): Uint8Array {
    const position = this.#advance(count);
    return this.#bytes.subarray(position, position + count);
  }

  /** An unsigned integer, little-endian. */
  uint(bytes: 1 | 2 | 4 | 8): number {
    const position = this.#advance(bytes);
    switch (bytes) {
      case 1:
        return this.#view.getUint8(position);
      case 2:
        return this.#view.getUint16(position, true);
      case 4:
        return this.#view.getUint32(position, true);
      case 8:
        return Number(this.#view.getBigUint64(position, true));
    }
  }

  /** Reads an integer of `count` bytes, two's complement, little-endian; no bytes are zero. */
  integer(count: number): number | bigint {
    if (count > MAX_INTEGER_BYTES) {
      throw this.invalid(`holds an integer of ${count} bytes`);
    }
    let value = 0n;
    const bytes = this.take(count);
    for (let i = count - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(bytes[i] ?? 0);
    }
    const signed = BigInt.asIntN(8 * count, value);
    const number = Number(signed);
    return Number.isSafeInteger(number) ? number : signed;
  }

  /** A string of `count` bytes. */
  utf8(count: number): string {
    const bytes = this.take(count);
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.invalid("holds a string that is not UTF-8");
    }
  }

  /** A string up to the next newline, which is read too. */
  line(): string {
    const { length } = this.#bytes;
    const end = this.#bytes
      .subarray(0, Math.min(length, this.#position + MAX_NAME_BYTES))
      .indexOf(NEWLINE, this.#position);
    if (end < 0) {
      if (length - this.#position < MAX_NAME_BYTES) {
        throw new PickleEndsEarly(this.#source.name, length);
      }
      throw this.invalid(`names a Python object by more than ${MAX_NAME_BYTES} bytes`);
    }
    const text = this.utf8(end - this.#position);
    this.#position = end + 1;
    return text;
  }

  /** The error for a pickle that is malformed where it is read. @param problem what it does, as "ends with …" */
  invalid(problem: string): ModelComposeError {
    return new ModelComposeError(
      "invalid-checkpoint",
      `The pickle in ${this.#source.name} ${problem} (byte ${this.#position}).`,
      { remedy: REFETCH_FILE },
    );
  }
}
