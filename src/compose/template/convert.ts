import type { TypeSpec } from "./ast.ts";
import { DEEPEST, isTooDeep } from "./depth.ts";

/** A value that cannot become the type asked for; the message says `cannot … "x" …` without the placeholder. */
export class ConversionError extends Error {
  override readonly name = "ConversionError";
}

const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/;
const INTEGER = /^\s*[+-]?\d+\s*$/;

/** Converts a value (not null) as `as type` says. @throws ConversionError */
export function convert(value: unknown, type: TypeSpec): unknown {
  if (!type.list) {
    return convertOne(value, type);
  }
  if (!Array.isArray(value)) {
    throw new ConversionError(`${typeText(type)} needs a list, found ${show(value)}`);
  }
  return value.map((item: unknown) => (item === null ? null : convertOne(item, type)));
}

function convertOne(value: unknown, type: TypeSpec): unknown {
  switch (type.name) {
    case "string":
    case "text":
    case "markdown":
      return toText(value);
    case "integer":
      return toInteger(value);
    case "number":
      return toNumber(value);
    case "boolean":
      // As in the Python model-compose, anything that is not true is false.
      return typeof value === "string"
        ? ["true", "1"].includes(value.toLowerCase())
        : value === true || value === 1;
    case "json":
      return typeof value === "string" ? parseJson(value, "json") : value;
    case "list": {
      const list = typeof value === "string" ? parseJson(value, "list") : value;
      if (Array.isArray(list)) {
        return list;
      }
      throw new ConversionError(`cannot convert ${show(value)} to a list`);
    }
    case "object": {
      const object = typeof value === "string" ? parseJson(value, "object") : value;
      if (isObject(object)) {
        return type.arguments.length === 0 ? object : project(object, type.arguments);
      }
      throw new ConversionError(`cannot convert ${show(value)} to an object`);
    }
    case "base64":
      return Buffer.from(toText(value), "utf8").toString("base64");
    case "select":
      if (type.arguments.includes(toText(value))) {
        return value;
      }
      throw new ConversionError(`expected one of ${type.arguments.join(", ")}, found ${show(value)}`);
    case "slider": {
      const number = toNumber(value);
      const [min = "", max = ""] = type.arguments;
      if (number >= Number(min) && number <= Number(max)) {
        return number;
      }
      throw new ConversionError(`expected a number in ${min} .. ${max}, found ${show(value)}`);
    }
    case "stream":
    case "any":
    case "none":
      return value;
  }
}

/** A value as it stands inside a longer text: nothing for null, JSON for lists and objects. */
export function toText(value: unknown): string {
  if (value === null || value === undefined) {
    return "";
  }
  return typeof value === "string" ? value : spacedJson(value);
}

/** JSON with a space behind commas and colons, as Python writes it and as people read it in a prompt. */
function spacedJson(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(spacedJson).join(", ")}]`;
  }
  if (isObject(value)) {
    const fields = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${spacedJson(item)}`);
    return `{${fields.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/**
 * What a default without quotes means: a number, true, false, null or a JSON list or object where it reads as
 * one, else text.
 */
export function parseBareLiteral(text: string): unknown {
  if (NUMBER.test(text)) {
    return Number(text);
  }
  if (text === "true") {
    return true;
  }
  if (text === "false") {
    return false;
  }
  if (text === "null") {
    return null;
  }
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  return text;
}

/** The number that a numeric text stands for, else undefined. */
export function numberFromText(text: string): number | undefined {
  return NUMBER.test(text) ? Number(text) : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function toInteger(value: unknown): number {
  const number =
    typeof value === "string" && INTEGER.test(value)
      ? Number(value)
      : typeof value === "number" || typeof value === "boolean"
        ? Math.trunc(Number(value))
        : Number.NaN;
  if (Number.isSafeInteger(number)) {
    return number;
  }
  throw new ConversionError(`cannot convert ${show(value)} to an integer`);
}

function toNumber(value: unknown): number {
  const number =
    typeof value === "string" && NUMBER.test(value)
      ? Number(value)
      : typeof value === "number" || typeof value === "boolean"
        ? Number(value)
        : Number.NaN;
  if (Number.isFinite(number)) {
    return number;
  }
  throw new ConversionError(`cannot convert ${show(value)} to a number`);
}

function parseJson(text: string, type: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConversionError(`cannot convert ${show(text)} to ${type}: it is not JSON`, { cause: error });
  }
  if (!isTooDeep(value)) {
    return value;
  }
  throw new ConversionError(
    `cannot convert ${show(text)} to ${type}: it is nested more than ${DEEPEST} deep`,
  );
}

/** The fields of an object that a type such as `object/a,b.c` names: a and c, c taken from b. */
function project(object: Record<string, unknown>, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    fields.map((field) => {
      const keys = field.split(".");
      let value: unknown = object;
      for (const key of keys) {
        value = isObject(value) && Object.hasOwn(value, key) ? value[key] : null;
      }
      return [keys.at(-1) ?? field, value];
    }),
  );
}

/** A value for messages: with its kind, and not longer than a line. */
export function show(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  const short = json.length > 80 ? `${json.slice(0, 77)}…` : json;
  if (typeof value === "string") {
    return `the text ${short}`;
  }
  if (Array.isArray(value)) {
    return `the list ${short}`;
  }
  if (isObject(value)) {
    return `the object ${short}`;
  }
  // NaN and Infinity are null in JSON.
  return String(value);
}

export function typeText(type: TypeSpec): string {
  const args = type.arguments.length === 0 ? "" : `/${type.arguments.join(",")}`;
  return `${type.name}${type.list ? "[]" : ""}${args}`;
}
