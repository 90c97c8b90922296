/** JSON from files that others wrote: strict UTF-8, strict JSON, no duplicate keys, errors with line and column. */
import { visit, type JSONVisitor } from "jsonc-parser";
import { ModelComposeError, errorMessage, type ErrorCode } from "./errors.ts";

/** What errors say of the place that JSON is from. */
export interface JsonSource {
  /** The name in errors: a path, or a path and the part of it. */
  name: string;
  /** Code of the errors that are thrown. */
  code: ErrorCode;
  /** The errors' last sentence: what to do. */
  remedy: string;
}

export type JsonObject = Record<string, unknown>;

/**
 * Parses UTF-8 bytes that must hold one JSON object. A key that occurs twice in an object is an error: JSON.parse
 * would keep the last and hide the other.
 *
 * @throws ModelComposeError with `source.code` for bytes that are no UTF-8, no JSON or no object, and for such a key
 */
export function parseJsonObject(bytes: Uint8Array, source: JsonSource): JsonObject {
  const text = decodeUtf8(bytes, source);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw failure(source, `cannot be parsed as JSON: ${errorMessage(error)}.`, error);
  }
  if (!isJsonObject(value)) {
    throw failure(source, `holds ${describeJson(value)}; expected a JSON object.`);
  }
  rejectDuplicateKeys(text, source);
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in a few words, for "found …" in messages. Callers of the library may give one that is no JSON. */
export function describeJson(value: unknown): string {
  if (value === undefined) {
    return "nothing";
  }
  // JSON's 1e999 is Infinity, which JSON.stringify would call null.
  if (typeof value === "number") {
    return String(value);
  }
  if (typeof value === "bigint") {
    return `the bigint ${value}`;
  }
  if (typeof value === "function" || typeof value === "symbol") {
    return `a ${typeof value}`;
  }
  const text = jsonText(value);
  if (text !== undefined && text.length <= 80) {
    return text;
  }
  if (Array.isArray(value)) {
    return `a list of ${value.length}`;
  }
  if (typeof value === "string") {
    return `a string of ${value.length} characters`;
  }
  return "an object";
}

/** The JSON of a value; undefined where there is none: of cycles, of a bigint within, of what nests too deeply. */
function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function decodeUtf8(bytes: Uint8Array, source: JsonSource): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw failure(source, "is not valid UTF-8.", error);
  }
}

function rejectDuplicateKeys(text: string, source: JsonSource): void {
  const open: Set<string>[] = [];
  const visitor: JSONVisitor = {
    onObjectBegin: () => {
      open.push(new Set());
    },
    onObjectEnd: () => {
      open.pop();
    },
    onObjectProperty: (key, _offset, _length, line, character) => {
      const keys = open.at(-1);
      if (keys?.has(key)) {
        throw failure(source, `has the key "${key}" twice (line ${line + 1}, column ${character + 1}).`);
      }
      keys?.add(key);
    },
  };
  try {
    visit(text, visitor);
  } catch (error) {
    // The visitor is recursive, JSON.parse is not: only a hostile file nests deep enough to tell.
    if (error instanceof RangeError) {
      throw failure(source, "is nested too deeply.", error);
    }
    throw error;
  }
}

function failure(source: JsonSource, message: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError(source.code, `${source.name} ${message}`, { remedy: source.remedy, cause });
}
