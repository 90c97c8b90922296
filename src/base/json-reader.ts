/**
 * Reads JSON value by value from bytes, without making a text or a tree of it: for files of so many values that a tree would
 * take several times their size. Strict, as JSON.parse is (RFC 8259).
 */
import { describeJson } from "./json.ts";

/** How deep objects and lists may lie in one another where they are passed over. */
const MOST_DEPTH = 200;

/** What is wrong with the bytes, and where. Whoever reads says which file it is. */
export class JsonSyntaxFault extends Error {
  override readonly name = "JsonSyntaxFault";
}

export type JsonKind = "object" | "list" | "string" | "number" | "literal";

/** Values longer than this are not made for messages. */
const MOST_SHOWN_BYTES = 1000;

const WRONG_STRING = "a string is not UTF-8, or has an escape that there is not";
const WRONG_VALUE = "something stands where a value must stand";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class JsonReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Kind of the value that comes next. */
  kind(): JsonKind {
    const byte = this.#next();
    switch (byte) {
      case OPEN_OBJECT:
        return "object";
      case OPEN_LIST:
        return "list";
      case QUOTE:
        return "string";
      default:
        return byte === 0x2d || isDigit(byte) ? "number" : "literal";
    }
  }

  /** Reads an object. @param onKey is called for each key, and must read the key's value */
  object(onKey: (key: string) => void): void {
    this.#expect(OPEN_OBJECT);
    if (this.#take(CLOSE_OBJECT)) {
      return;
    }
    do {
      const key = this.string();
      this.#expect(COLON);
      onKey(key);
    } while (this.#take(COMMA));
    this.#expect(CLOSE_OBJECT);
  }

  /** Reads a list. @param onElement is called for each element, and must read it */
  list(onElement: () => void): void {
    this.#expect(OPEN_LIST);
    if (this.#take(CLOSE_LIST)) {
      return;
    }
    do {
      onElement();
    } while (this.#take(COMMA));
    this.#expect(CLOSE_LIST);
  }

  string(): string {
    const { start, end, isPlain } = this.#stringExtent();
    if (isPlain) {
      return this.#bytes.toString("latin1", start + 1, end - 1);
    }
    try {
      return JSON.parse(UTF8.decode(this.#bytes.subarray(start, end))) as string;
    } catch {
      throw this.#fault(WRONG_STRING, start);
    }
  }

  number(): number {
    this.#next();
    const start = this.#at;
    // Almost all numbers of headers are integers that this sums exactly.
    let sum = 0;
    while (isDigit(this.#bytes[this.#at] ?? 0) && this.#at - start < 15) {
      sum = 10 * sum + (this.#bytes[this.#at] ?? 0) - 0x30;
      this.#at += 1;
    }
    const digits = this.#at - start;
    const hasOneForm = digits === 1 || (digits > 1 && this.#bytes[start] !== 0x30);
    if (hasOneForm && !isOfNumber(this.#bytes[this.#at] ?? 0)) {
      return sum;
    }
    while (this.#at < this.#bytes.length && isOfNumber(this.#bytes[this.#at] ?? 0)) {
      this.#at += 1;
    }
    const text = this.#bytes.toString("latin1", start, this.#at);
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) {
      throw this.#fault(WRONG_VALUE, start);
    }
    return Number(text);
  }

  /** Passes over a value of any kind, without recursion. */
  skip(): void {
    const open: number[] = [];
    for (;;) {
      const kind = this.kind();
      if (kind === "object" || kind === "list") {
        this.#at += 1;
        const close = kind === "object" ? CLOSE_OBJECT : CLOSE_LIST;
        if (!this.#take(close)) {
          open.push(close);
          if (open.length > MOST_DEPTH) {
            throw this.#fault(`objects and lists are more than ${MOST_DEPTH} deep in one another`, this.#at);
          }
          this.#skipKey(close);
          continue;
        }
      } else {
        this.#skipPlain(kind);
      }
      while (open.length > 0 && !this.#take(COMMA)) {
        this.#expect(open.pop() ?? 0);
      }
      const close = open.at(-1);
      if (close === undefined) {
        return;
      }
      this.#skipKey(close);
    }
  }

  /** Passes over a value. @returns the value in a few words, for a message */
  describe(): string {
    const kind = this.kind();
    const start = this.#at;
    this.skip();
    const bytes = this.#bytes.subarray(start, this.#at);
    if (bytes.length > MOST_SHOWN_BYTES) {
      return `${kind === "object" ? "an object" : `a ${kind}`} of ${bytes.length} bytes`;
    }
    try {
      return describeJson(JSON.parse(UTF8.decode(bytes)));
    } catch {
      throw this.#fault(WRONG_STRING, start);
    }
  }

  /** Checks that nothing but white space comes after the value. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#bytes.length) {
      throw this.#fault("something stands behind the end", this.#at);
    }
  }

  #skipKey(close: number): void {
    if (close === CLOSE_OBJECT) {
      this.#next();
      this.#stringExtent();
      this.#expect(COLON);
    }
  }

  #skipPlain(kind: JsonKind): void {
    if (kind === "string") {
      this.#stringExtent();
    } else if (kind === "number") {
      this.number();
    } else {
      this.#skipLiteral();
    }
  }

  #skipLiteral(): void {
    for (const literal of ["null", "true", "false"]) {
      if (this.#bytes.toString("latin1", this.#at, this.#at + literal.length) === literal) {
        this.#at += literal.length;
        return;
      }
    }
    throw this.#fault(WRONG_VALUE, this.#at);
  }

  /** Passes over a string. @returns its bytes, quotes included; `isPlain`: ASCII without escapes */
  #stringExtent(): { start: number; end: number; isPlain: boolean } {
    this.#expect(QUOTE);
    const start = this.#at - 1;
    let isPlain = true;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) {
        throw this.#fault("it ends in the middle", this.#at);
      }
      this.#at += 1;
      if (byte === QUOTE) {
        return { start, end: this.#at, isPlain };
      }
      if (byte < 0x20) {
        throw this.#fault("a string has a control character", this.#at - 1);
      }
      if (byte === BACKSLASH) {
        isPlain = false;
        this.#at += 1;
      } else if (byte >= 0x80) {
        isPlain = false;
      }
    }
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        return;
      }
      this.#at += 1;
    }
  }

  /** The next byte that is not white space, which is not passed over. */
  #next(): number {
    this.#skipSpace();
    const byte = this.#bytes[this.#at];
    if (byte === undefined) {
      throw this.#fault("it ends in the middle", this.#at);
    }
    return byte;
  }

  #take(byte: number): boolean {
    if (this.#next() !== byte) {
      return false;
    }
    this.#at += 1;
    return true;
  }

  #expect(byte: number): void {
    if (!this.#take(byte)) {
      throw this.#fault(`something stands where ${String.fromCharCode(byte)} must stand`, this.#at);
    }
  }

  #fault(problem: string, at: number): JsonSyntaxFault {
    return new JsonSyntaxFault(
      at >= this.#bytes.length ? "it ends in the middle" : `${problem} (byte ${at})`,
    );
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Whether a byte is one of digits, signs, point and exponent. */
function isOfNumber(byte: number): boolean {
  return isDigit(byte) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x65 || byte === 0x45;
}
