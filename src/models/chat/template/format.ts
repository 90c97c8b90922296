/** Python's two ways to put values into a text: `"%s" % value` and `"{}".format(value)`. */
import { spendText } from "./limits.ts";
import { repr, str } from "./print.ts";
import {
  integerOf,
  Mapping,
  nameOf,
  numberOf,
  textOf,
  UNDEFINED,
  type Arguments,
  type Value,
} from "./values.ts";

const PERCENT = /%(?:\(([^)]*)\))?([-+ 0#]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g;
/** The widest field; a wider one only fills memory. */
const WIDEST = 10_000;

/** `text % values`: a tuple has a value for each place, a mapping one for each name. */
export function percent(text: string, values: Value): string {
  const positional = values.kind === "tuple" ? values.items : [values];
  let next = 0;
  const formatted = text.replaceAll(
    PERCENT,
    (
      _whole,
      name: string | undefined,
      flags: string,
      width = "0",
      precision: string | undefined,
      kind: string,
    ) => {
      if (kind === "%") {
        return "%";
      }
      let value: Value | undefined;
      if (name === undefined) {
        value = positional[next];
        next += 1;
      } else if (values.kind === "mapping") {
        value = values.get(textOf(name));
      }
      if (value === undefined) {
        throw new Error(`there is no value for %${name === undefined ? "" : `(${name})`}${kind}`);
      }
      const digits = precision === undefined ? undefined : Number(precision);
      const body = percentBody(kind, value, digits, flags);
      return padded(
        body,
        Number(width),
        flags.includes("-") ? "<" : flags.includes("0") ? "=" : ">",
        flags.includes("0") ? "0" : " ",
      );
    },
  );
  // Python takes what can be asked for items for a mapping, which need not be used up.
  if (!["list", "mapping", "undefined"].includes(values.kind) && next < positional.length) {
    throw new Error("not all values were used in the text");
  }
  spendText(formatted.length);
  return formatted;
}

function percentBody(kind: string, value: Value, precision: number | undefined, flags: string): string {
  const cut = (text: string): string => (precision === undefined ? text : text.slice(0, precision));
  switch (kind) {
    case "s":
      return cut(str(value));
    case "r":
      return cut(repr(value));
    case "d":
    case "i":
    case "u":
      return signed(String(Math.trunc(requireNumber(kind, value))), flags);
    case "f":
    case "F":
    case "e":
    case "g":
      return signed(fixed(kind, requireNumber(kind, value), precision ?? 6), flags);
    case "x":
      return signed(requireNumber(kind, value).toString(16), flags);
    case "X":
      return signed(requireNumber(kind, value).toString(16).toUpperCase(), flags);
    case "o":
      return signed(requireNumber(kind, value).toString(8), flags);
  }
  throw new Error(`the format %${kind} is not known here`);
}

function signed(digits: string, flags: string): string {
  return digits.startsWith("-")
    ? digits
    : flags.includes("+")
      ? `+${digits}`
      : flags.includes(" ")
        ? ` ${digits}`
        : digits;
}

function requireNumber(kind: string, value: Value): number {
  const number = numberOf(value);
  if (number === undefined) {
    throw new Error(`the format ${kind} takes a number; found ${nameOf(value)}`);
  }
  return number;
}

/** A number with digits behind the point, as C's printf rounds: half to even of what the number exactly is. */
function fixed(kind: string, number: number, precision: number): string {
  if (precision > 100) {
    throw new Error(`the precision ${precision} is more than 100`);
  }
  switch (kind.toLowerCase()) {
    case "f":
      return number.toFixed(precision);
    case "e":
      return number.toExponential(precision).replace(/e([+-])(\d)$/, "e$10$2");
    default:
      return String(Number(number.toPrecision(Math.max(1, precision))));
  }
}

type Alignment = "<" | ">" | "^" | "=";

function padded(text: string, width: number, alignment: Alignment, fill: string): string {
  if (width > WIDEST) {
    throw new Error(`the width ${width} is more than ${WIDEST}`);
  }
  const missing = Math.max(0, width - Array.from(text).length);
  switch (alignment) {
    case "<":
      return text + fill.repeat(missing);
    case ">":
      return fill.repeat(missing) + text;
    case "^":
      return fill.repeat(Math.floor(missing / 2)) + text + fill.repeat(Math.ceil(missing / 2));
    case "=": {
      const sign = /^[-+ ]/.exec(text)?.[0] ?? "";
      return sign + fill.repeat(missing) + text.slice(sign.length);
    }
  }
}

const BRACES = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;

/** How the fields and items of values are found. */
export interface Members {
  readonly attribute: (value: Value, name: string) => Value;
  readonly item: (value: Value, key: Value) => Value;
}

/** `text.format(…)`: `{}`, `{0}`, `{name.field[key]}`, with `!s`, `!r` and a format behind a colon. */
export function braces(text: string, { positional, named }: Arguments, members: Members): string {
  let next = 0;
  let numbering: "manual" | "automatic" | undefined;
  const formatted = text.replaceAll(BRACES, (whole, field: string | undefined) => {
    if (whole === "{{" || whole === "}}") {
      return whole[0] ?? "";
    }
    if (field === undefined) {
      throw new Error(`format: a single ${whole} in the text`);
    }
    const [, name = "", conversion, spec = ""] = /^([^!:]*)(?:!([^:]*))?(?::(.*))?$/s.exec(field) ?? [];
    const [first = "", path = ""] = split(name);
    const isManual = /^\d+$/.test(first);
    if (isManual || first === "") {
      numbering ??= isManual ? "manual" : "automatic";
      if ((numbering === "manual") !== isManual) {
        throw new Error("format: {} and {0} cannot stand in one text");
      }
    }
    const index = first === "" ? next++ : isManual ? Number(first) : undefined;
    const value = index === undefined ? named.get(first) : positional[index];
    if (value === undefined) {
      throw new Error(`format: there is no value for {${field}}`);
    }
    const found = follow(value, path, members);
    const converted =
      conversion === "r" ? textOf(repr(found)) : conversion === "s" ? textOf(str(found)) : found;
    return withSpec(converted, spec);
  });
  spendText(formatted.length);
  return formatted;
}

/** The argument's name, and the path behind it. */
function split(name: string): readonly [string, string] {
  const at = name.search(/[.[]/);
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at)];
}

function follow(value: Value, path: string, { attribute, item }: Members): Value {
  let found = value;
  for (const [, field, key = ""] of path.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)) {
    found =
      field === undefined
        ? item(found, /^\d+$/.test(key) ? integerOf(Number(key)) : textOf(key))
        : attribute(found, field);
    if (found === UNDEFINED) {
      throw new Error(`format: there is nothing at ${path}`);
    }
  }
  return found;
}

const SPEC = /^(?:(.)?([<>^=]))?([-+ ])?(0)?(\d+)?(,)?(?:\.(\d+))?([a-zA-Z%])?$/su;

function withSpec(value: Value, spec: string): string {
  if (spec === "") {
    return str(value);
  }
  const [, fill, align, sign = "", zero, width = "0", comma, precision, kind] = SPEC.exec(spec) ?? [];
  if (!SPEC.test(spec)) {
    throw new Error(`format: the format ${JSON.stringify(spec)} is not known here`);
  }
  const number = value.kind === "text" ? undefined : numberOf(value);
  const digits = precision === undefined ? undefined : Number(precision);
  const body = specBody(value, { kind, number, digits, sign, hasCommas: comma !== undefined });
  const alignment = (align ?? (zero === undefined ? (number === undefined ? "<" : ">") : "=")) as Alignment;
  return padded(body, Number(width), alignment, fill ?? (zero === undefined ? " " : "0"));
}

interface Spec {
  readonly kind: string | undefined;
  readonly number: number | undefined;
  readonly digits: number | undefined;
  readonly sign: string;
  readonly hasCommas: boolean;
}

function specBody(value: Value, { kind, number, digits, sign, hasCommas }: Spec): string {
  if (kind === "s" || number === undefined) {
    if (kind !== undefined && kind !== "s") {
      throw new Error(`format: the format ${kind} takes a number; found ${nameOf(value)}`);
    }
    return str(value).slice(0, digits);
  }
  const commas = (text: string): string => {
    const [whole = "", ...rest] = text.split(".");
    return hasCommas ? [whole.replaceAll(/\B(?=(\d{3})+$)/g, ","), ...rest].join(".") : text;
  };
  if (kind === "%") {
    return signed(commas(`${(number * 100).toFixed(digits ?? 6)}%`), sign);
  }
  if (kind === undefined || kind === "d" || kind === "n") {
    const plain = digits === undefined ? str(value) : fixed("g", number, digits);
    return signed(commas(plain), sign);
  }
  return signed(commas(percentBody(kind, value, digits, "")), sign);
}

/** The values of the filter `format`: its arguments, or one mapping of those with names. */
export function formatValues({ positional, named }: Arguments): Value {
  if (named.size > 0) {
    if (positional.length > 0) {
      throw new Error("format takes arguments with names or without, not both");
    }
    return new Mapping([...named].map(([name, value]) => [textOf(name), value]));
  }
  return { kind: "tuple", items: positional };
}
