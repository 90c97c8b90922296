/** Filters, tests and methods of texts that Jinja and Python have and the library lacks or computes in another way. */
import {
  contains,
  equals,
  isList,
  isMapping,
  isText,
  isUndefined,
  iterate,
  listOf,
  pythonStr,
  valueOf,
  type Value,
} from "./template-values.ts";

export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

type Filter = (value: Value, args: Arguments) => Value;

/** What Python's str.strip() takes off by default. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** Python's lstrip, rstrip and strip: characters of a set, by default white space. */
function strip(text: string, side: "left" | "right" | "both", set?: string): string {
  const characters = set?.replace(/[\]\\^-]/g, "\\$&") ?? SPACE;
  if (characters === "") {
    return text;
  }
  const start = side === "right" ? text : text.replace(new RegExp(`^[${characters}]+`, "u"), "");
  return side === "left" ? start : stripEnd(start, new RegExp(`[${characters}]`, "u"));
}

/** A regular expression with $ would try every place of the text. */
function stripEnd(text: string, set: RegExp): string {
  const characters = Array.from(text);
  let end = characters.length;
  while (end > 0 && set.test(characters[end - 1])) {
    end--;
  }
  return end === characters.length ? text : characters.slice(0, end).join("");
}

function firstText({ positional, named }: Arguments, name: string): string | undefined {
  const value = positional[0] ?? named.get(name);
  return value === undefined || value.type === "NullValue" ? undefined : pythonStr(value);
}

/** Filters by name. @throws Error, of a filter that cannot take the value */
export const filters: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ["string", (value) => valueOf(pythonStr(value))],
  ["list", (value) => listOf(iterate(value))],
  ["trim", (value, args) => valueOf(strip(pythonStr(value), "both", firstText(args, "chars")))],
  ["length", (value) => valueOf(iterate(value).length)],
  ["count", (value) => valueOf(iterate(value).length)],
  ["first", (value) => iterate(value)[0] ?? valueOf(undefined)],
  ["last", (value) => iterate(value).at(-1) ?? valueOf(undefined)],
  ["reverse", (value) => (isText(value) ? valueOf(reversed(value)) : listOf(iterate(value).reverse()))],
  ["upper", (value) => valueOf(pythonStr(value).toUpperCase())],
  ["lower", (value) => valueOf(pythonStr(value).toLowerCase())],
  ["capitalize", (value) => valueOf(capitalized(pythonStr(value)))],
  [
    "join",
    (value, args) => {
      const attribute = args.named.get("attribute");
      const items = iterate(value).map((item) => (attribute === undefined ? item : fieldOf(item, attribute)));
      return valueOf(items.map(pythonStr).join(firstText(args, "d") ?? ""));
    },
  ],
  ["select", (value, args) => listOf(iterate(value).filter((item) => holds(item, args)))],
  ["reject", (value, args) => listOf(iterate(value).filter((item) => !holds(item, args)))],
  [
    "default",
    (value, { positional: [otherwise = valueOf(""), second], named }) => {
      const orFalse = second ?? named.get("boolean");
      const isMissing = isUndefined(value) || (orFalse?.value === true && !value.__bool__().value);
      return isMissing ? (named.get("default_value") ?? otherwise) : value;
    },
  ],
  [
    "items",
    (value) => {
      if (isUndefined(value)) {
        return listOf([]);
      }
      if (!isMapping(value)) {
        throw new Error(`items: ${pythonStr(value)} is not a mapping`);
      }
      return listOf(
        [...(value.value as Map<string, Value>)].map(([key, field]) => listOf([valueOf(key), field])),
      );
    },
  ],
]);

function reversed(text: Value): string {
  return Array.from(String(text.value)).reverse().join("");
}

function capitalized(text: string): string {
  const [first = ""] = text;
  return first.toUpperCase() + text.slice(first.length).toLowerCase();
}

function fieldOf(item: Value, name: Value): Value {
  const fields = isMapping(item) ? (item.value as Map<string, Value>) : undefined;
  return fields?.get(pythonStr(name)) ?? valueOf(undefined);
}

/** `select("equalto", 3)`: a test by name with what it compares with; without a name, whether the item is true. */
function holds(item: Value, { positional: [name, other] }: Arguments): boolean {
  if (name === undefined) {
    return item.__bool__().value;
  }
  const test = tests.get(pythonStr(name));
  if (test === undefined) {
    throw new Error(`the test ${JSON.stringify(pythonStr(name))} is not known here`);
  }
  return test(item, other ?? valueOf(undefined));
}

type Test = (value: Value, other: Value) => boolean;

/** Tests by name. */
export const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["iterable", (value) => isList(value) || isMapping(value) || isText(value) || isUndefined(value)],
  ["defined", (value) => !isUndefined(value)],
  ["undefined", (value) => isUndefined(value)],
  ["none", (value) => value.type === "NullValue"],
  ["string", isText],
  ["mapping", isMapping],
  ["equalto", equals],
  ["eq", equals],
  ["==", equals],
  ["ne", (value, other) => !equals(value, other)],
  ["in", (value, other) => contains(other, value)],
]);

type Method = (text: string, ...args: unknown[]) => unknown;

const setOf = (given: unknown): string | undefined => (typeof given === "string" ? given : undefined);

/**
 * Methods of texts by name. Arguments come as plain texts and numbers, lists as lists of values; what is returned
 * becomes a value.
 */
export const textMethods: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["strip", (text, set) => strip(text, "both", setOf(set))],
  ["lstrip", (text, set) => strip(text, "left", setOf(set))],
  ["rstrip", (text, set) => strip(text, "right", setOf(set))],
  ["capitalize", capitalized],
  ["join", (text, items) => (items as Value[]).map(pythonStr).join(text)],
  ["splitlines", (text) => (text === "" ? [] : text.replace(/(\r\n|[\n\r])$/, "").split(/\r\n|[\n\r]/))],
  ["find", (text, part) => codePoints(text, text.indexOf(String(part)))],
  ["rfind", (text, part) => codePoints(text, text.lastIndexOf(String(part)))],
  ["count", (text, part) => text.split(String(part)).length - 1],
  ["removeprefix", (text, part) => (text.startsWith(String(part)) ? text.slice(String(part).length) : text)],
  [
    "removesuffix",
    (text, part) => (part !== "" && text.endsWith(String(part)) ? text.slice(0, -String(part).length) : text),
  ],
  ["isdigit", (text) => /^\p{Nd}+$/u.test(text)],
  ["isspace", (text) => text !== "" && strip(text, "left") === ""],
]);

/** An index in UTF-16 code units as Python counts characters. */
function codePoints(text: string, index: number): number {
  return index < 0 ? -1 : Array.from(text.slice(0, index)).length;
}
