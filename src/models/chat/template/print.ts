/** Prints values as text: Python's `str()`, `repr()` and `json.dumps()`. */
import { spendText } from "./limits.ts";
import { nameOf, type Mapping, type SequenceValue, type Value } from "./values.ts";

/** Python's `str()`, which is also what `{{ … }}` prints. @throws Error for what has no text, such as a function */
export function str(value: Value): string {
  return value.kind === "text" ? value.value : value.kind === "undefined" ? "" : repr(value);
}

/** Python's `repr()`. @throws Error for what has no text, such as a function */
export function repr(value: Value): string {
  const text = reprOf(value);
  spendText(text.length);
  return text;
}

function reprOf(value: Value): string {
  switch (value.kind) {
    case "text":
      return textRepr(value.value);
    case "boolean":
      return value.value ? "True" : "False";
    case "none":
      return "None";
    case "undefined":
      return "Undefined";
    case "integer":
      return String(value.value);
    case "float":
      return floatRepr(value.value);
    case "list":
      return `[${value.items.map(repr).join(", ")}]`;
    case "tuple":
      return value.items.length === 1
        ? `(${repr(value.items[0])},)`
        : `(${value.items.map(repr).join(", ")})`;
    case "mapping":
      return `{${value
        .entries()
        .map(([key, field]) => `${repr(key)}: ${repr(field)}`)
        .join(", ")}}`;
    case "namespace":
    case "function":
      throw new Error(`a ${value.kind} cannot be printed`);
  }
}

/** A text in single quotes, unless only double ones spare a backslash; what cannot be printed is escaped. */
function textRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = "";
  for (const character of text) {
    body += characterRepr(character, quote);
  }
  return quote + body + quote;
}

function characterRepr(character: string, quote: string): string {
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

/** The shortest digits that give the number back, as in JavaScript, but with Python's bounds of exponents. */
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

/** How JSON is written: the parameters of Python's `json.dumps()`. */
export interface JsonStyle {
  /** Whether characters beyond ASCII are written as \uXXXX. */
  readonly isAscii: boolean;
  /** Text that indents a level; undefined: all is in one line. */
  readonly indent: string | undefined;
  /** Text between items. Undefined: ", ", or where lines are indented "," alone. */
  readonly itemSeparator: string | undefined;
  readonly keySeparator: string;
  readonly sortsKeys: boolean;
}

/** Python's `json.dumps()`. @throws Error for what JSON cannot hold */
export function dumpJson(value: Value, style: JsonStyle): string {
  return dump(value, style, "\n");
}

function dump(value: Value, style: JsonStyle, newline: string): string {
  const text = dumpOf(value, style, newline);
  spendText(text.length);
  return text;
}

function dumpOf(value: Value, style: JsonStyle, newline: string): string {
  switch (value.kind) {
    case "none":
      return "null";
    case "boolean":
      return String(value.value);
    case "integer":
      return String(value.value);
    case "float":
      return jsonFloat(value.value);
    case "text":
      return jsonText(value.value, style);
    case "list":
    case "tuple":
      return dumpItems(value, style, newline);
    case "mapping":
      return dumpFields(value, style, newline);
    case "undefined":
    case "namespace":
    case "function":
      throw new Error(`tojson: JSON has no ${value.kind === "undefined" ? "undefined value" : value.kind}`);
  }
}

function dumpItems({ items }: SequenceValue, style: JsonStyle, newline: string): string {
  const inner = newline + (style.indent ?? "");
  return enclose(
    "[]",
    items.map((item) => dump(item, style, inner)),
    style,
    newline,
  );
}

function dumpFields(mapping: Mapping, style: JsonStyle, newline: string): string {
  const inner = newline + (style.indent ?? "");
  const fields = mapping.entries().map(([key, field]) => [jsonKey(key), field] as const);
  if (style.sortsKeys) {
    fields.sort(([a], [b]) => compareTexts(a, b));
  }
  const parts = fields.map(
    ([key, field]) => jsonText(key, style) + style.keySeparator + dump(field, style, inner),
  );
  return enclose("{}", parts, style, newline);
}

function enclose(brackets: "[]" | "{}", parts: readonly string[], style: JsonStyle, newline: string): string {
  const [open, close] = brackets;
  if (parts.length === 0) {
    return brackets;
  }
  const { indent, itemSeparator = indent === undefined ? ", " : "," } = style;
  if (indent === undefined) {
    return open + parts.join(itemSeparator) + close;
  }
  const inner = newline + indent;
  return open + inner + parts.join(itemSeparator + inner) + newline + close;
}

function jsonKey(key: Value): string {
  switch (key.kind) {
    case "text":
      return key.value;
    case "float":
      return jsonFloat(key.value);
    case "none":
      return "null";
    case "boolean":
    case "integer":
      return String(key.value);
    case "undefined":
    case "list":
    case "tuple":
    case "mapping":
    case "namespace":
    case "function":
      throw new Error(`tojson: ${nameOf(key)} cannot be a key in JSON`);
  }
}

function jsonFloat(value: number): string {
  if (Number.isFinite(value)) {
    return floatRepr(value);
  }
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

const JSON_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

function jsonText(text: string, { isAscii }: JsonStyle): string {
  const escaped = isAscii ? /["\\\x00-\x1f\x7f-\uffff]/g : /["\\\x00-\x1f]/g;
  const body = text.replace(
    escaped,
    (unit) => JSON_ESCAPES[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${body}"`;
}

/** The order of texts in Python, by code points: below 0, 0 or above 0. */
export function compareTexts(a: string, b: string): number {
  spendText(Math.min(a.length, b.length));
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) {
      // Halves of surrogate pairs stand for code points above all others.
      return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
    }
  }
  return a.length - b.length;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}
