/**
 * The values of Hugging Face's Jinja library as Python would treat them. Templates are written for Python's Jinja, where
 * `{{ true }}` prints True and a mapping prints as its repr; the library prints JSON.
 */
import { Environment, type RuntimeValue } from "./jinja.ts";

/** A value of the library while a template runs. Its `type` names its class. */
export type Value = RuntimeValue;

// The library exports no constructors: its public way to make a value is to set a variable.
const scratch = new Environment();

/** A JavaScript value (JSON, undefined or a function) as a value of templates. */
export function valueOf(value: unknown): Value {
  scratch.variables.delete("value");
  return scratch.set("value", value);
}

export function listOf(items: readonly Value[]): Value {
  const list = valueOf([]);
  (list.value as Value[]).push(...items);
  return list;
}

export function mappingOf(entries: Iterable<readonly [string, Value]>): Value {
  const mapping = valueOf({});
  const fields = mapping.value as Map<string, Value>;
  for (const [key, value] of entries) {
    fields.set(key, value);
  }
  return mapping;
}

export function isUndefined({ type }: Value): boolean {
  return type === "UndefinedValue";
}

export function isText({ type }: Value): boolean {
  return type === "StringValue";
}

export function isMapping({ type }: Value): boolean {
  return type === "ObjectValue" || type === "KeywordArgumentsValue";
}

export function isList({ type }: Value): boolean {
  return type === "ArrayValue" || type === "TupleValue";
}

export function isTrue(value: Value): boolean {
  return value.__bool__().value;
}

function itemsOf(list: Value): Value[] {
  return list.value as Value[];
}

function fieldsOf(mapping: Value): Map<string, Value> {
  return mapping.value as Map<string, Value>;
}

/** What Python iterates over: items, keys, characters; nothing for what is undefined. @throws Error for the rest */
export function iterate(value: Value): Value[] {
  if (isList(value)) {
    return [...itemsOf(value)];
  }
  if (isMapping(value)) {
    return [...fieldsOf(value).keys()].map(valueOf);
  }
  if (isText(value)) {
    return Array.from(value.value as string, valueOf);
  }
  if (isUndefined(value)) {
    return [];
  }
  throw new Error(`${pythonStr(value)} is not a list, a mapping or a text, and cannot be iterated`);
}

/** Python's `==`: by content, and no text equals a number. */
export function equals(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined || y !== undefined) {
    return x === y;
  }
  if (isList(a)) {
    if (a.type !== b.type || itemsOf(a).length !== itemsOf(b).length) {
      return false;
    }
    return itemsOf(a).every((item, i) => equals(item, itemsOf(b)[i]));
  }
  if (isMapping(a)) {
    if (!isMapping(b) || fieldsOf(a).size !== fieldsOf(b).size) {
      return false;
    }
    return [...fieldsOf(a)].every(([key, value]) => {
      const other = fieldsOf(b).get(key);
      return other !== undefined && equals(value, other);
    });
  }
  return a.type === b.type && a.value === b.value;
}

/** Numbers, and booleans as Python counts with them. */
export function numberOf({ type, value }: Value): number | undefined {
  if (type === "BooleanValue") {
    return Number(value);
  }
  return type === "IntegerValue" || type === "FloatValue" ? Number(value) : undefined;
}

/** Python's `in`. @throws Error when `container` holds nothing */
export function contains(container: Value, item: Value): boolean {
  if (isText(container) && isText(item)) {
    return String(container.value).includes(String(item.value));
  }
  if (isMapping(container)) {
    return isText(item) && fieldsOf(container).has(String(item.value));
  }
  if (isList(container) || isUndefined(container)) {
    return iterate(container).some((one) => equals(one, item));
  }
  throw new Error(`in: ${pythonStr(container)} does not hold values such as ${pythonRepr(item)}`);
}

/** Python's `str()`, which is also what `{{ … }}` prints. */
export function pythonStr(value: Value): string {
  return isText(value) ? String(value.value) : isUndefined(value) ? "" : pythonRepr(value);
}

/** Python's `repr()` of what JSON can hold. */
export function pythonRepr(value: Value): string {
  switch (value.type) {
    case "StringValue":
      return textRepr(String(value.value));
    case "BooleanValue":
      return value.value === true ? "True" : "False";
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "Undefined";
    case "IntegerValue":
      return String(value.value);
    case "FloatValue":
      return floatRepr(Number(value.value));
    case "ArrayValue":
      return `[${itemsOf(value).map(pythonRepr).join(", ")}]`;
    case "TupleValue": {
      const items = itemsOf(value).map(pythonRepr);
      return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
    }
    case "ObjectValue":
    case "KeywordArgumentsValue": {
      const fields = [...fieldsOf(value)].map(([key, field]) => `${textRepr(key)}: ${pythonRepr(field)}`);
      return `{${fields.join(", ")}}`;
    }
    default:
      throw new Error(`a ${value.type.replace("Value", "").toLowerCase()} cannot be printed`);
  }
}

/** Single quotes unless only double ones spare a backslash; what cannot be printed is escaped. */
function textRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = "";
  for (const character of text) {
    body += reprOf(character, quote);
  }
  return quote + body + quote;
}

function reprOf(character: string, quote: string): string {
  if (character === quote || character === "\\") {
    return `\\${character}`;
  }
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  if (named !== undefined) {
    return named;
  }
  if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) {
    return character;
  }
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) {
    return `\\x${hex.padStart(2, "0")}`;
  }
  return code < 0x1_0000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** The shortest digits that give the number back, like JavaScript's, with Python's bounds of exponents. */
function floatRepr(value: number): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  const digits = Object.is(value, -0) ? "-0" : String(value);
  return digits.includes(".") ? digits : `${digits}.0`;
}
