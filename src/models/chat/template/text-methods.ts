/** The methods of Python's `str`. Texts are counted in code points, as in Python. */
import { bind, type BoundArguments } from "./arguments.ts";
import { spendText } from "./limits.ts";
import { str } from "./print.ts";
import {
  booleanOf,
  integerOf,
  isSequence,
  iterate,
  listOf,
  nameOf,
  textOf,
  tupleOf,
  type Arguments,
  type Value,
} from "./values.ts";

/** Python's white space: what strip() takes off, split() splits at and isspace() accepts. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** Python's line boundaries, at which splitlines() splits. */
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/u;

/** Takes characters of a set, by default white space, off the start, the end or both. */
export function strip(text: string, side: "left" | "right" | "both", set?: string): string {
  const characters = set?.replace(/[\]\\^-]/g, "\\$&") ?? SPACE;
  if (characters === "") {
    return text;
  }
  const start = side === "right" ? text : text.replace(new RegExp(`^[${characters}]+`, "u"), "");
  return side === "left" ? start : stripEnd(start, new RegExp(`[${characters}]`, "u"));
}

/** Takes characters off the end, one by one: a regular expression with $ would try every place of the text. */
function stripEnd(text: string, set: RegExp): string {
  const characters = Array.from(text);
  let end = characters.length;
  while (end > 0 && set.test(characters[end - 1])) {
    end--;
  }
  return end === characters.length ? text : characters.slice(0, end).join("");
}

/** The lines of a text without their ends; none of an empty text. */
export function splitLines(text: string): string[] {
  const lines = text.split(new RegExp(LINE_END, "gu"));
  if (lines.at(-1) === "") {
    lines.pop();
  }
  return lines;
}

export function capitalize(text: string): string {
  const [first = ""] = text;
  return titleCase(first) + text.slice(first.length).toLowerCase();
}

/** Makes one letter at the beginning of a word large: "ß" becomes "Ss". */
function titleCase(letter: string): string {
  const [first = "", ...rest] = letter.toUpperCase();
  return first + rest.join("").toLowerCase();
}

/** Makes every letter behind a letter small and every other one large: "it's" becomes "It'S". */
function title(text: string): string {
  let isInside = false;
  return Array.from(text, (character) => {
    const changed = isInside ? character.toLowerCase() : titleCase(character);
    isInside = /\p{Cased}/u.test(character);
    return changed;
  }).join("");
}

/** Replaces a text within another. @param count at most so many times, from the start; undefined: all */
export function replace(text: string, old: string, by: string, count?: number): string {
  const places = old === "" ? text.length + 1 : text.split(old).length - 1;
  spendText(text.length + places * by.length);
  if (count === undefined || count < 0) {
    return old === ""
      ? by + Array.from(text, (character) => character + by).join("")
      : text.replaceAll(old, () => by);
  }
  const parts = old === "" ? ["", ...Array.from(text), ""] : text.split(old);
  const head = parts.slice(0, count + 1);
  const tail = parts.slice(count + 1);
  return tail.length === 0 ? head.join(by) : head.join(by) + old + tail.join(old);
}

function split(text: string, separator: string | undefined, limit: number): string[] {
  if (separator === undefined) {
    return splitAtSpace(text, limit);
  }
  if (separator === "") {
    throw new Error("split: the separator is empty");
  }
  const parts = text.split(separator);
  return limit < 0 || parts.length <= limit + 1
    ? parts
    : [...parts.slice(0, limit), parts.slice(limit).join(separator)];
}

/** Splits a text at white space. Runs of it are one separator, and none is at either end. */
function splitAtSpace(text: string, limit: number): string[] {
  const parts: string[] = [];
  let rest = strip(text, "left");
  while (rest !== "" && (limit < 0 || parts.length < limit)) {
    const end = rest.search(new RegExp(`[${SPACE}]`, "u"));
    parts.push(end < 0 ? rest : rest.slice(0, end));
    rest = end < 0 ? "" : strip(rest.slice(end), "left");
  }
  return rest === "" ? parts : [...parts, rest];
}

function splitFromEnd(text: string, separator: string | undefined, limit: number): string[] {
  const reverse = (part: string): string => Array.from(part).reverse().join("");
  if (separator === undefined) {
    return splitAtSpace(reverse(text), limit).map(reverse).reverse();
  }
  const parts = split(text, separator, -1);
  return limit < 0 || parts.length <= limit + 1
    ? parts
    : [parts.slice(0, parts.length - limit).join(separator), ...parts.slice(parts.length - limit)];
}

/** The index of a part in code points, or -1. */
function find(text: string, args: BoundArguments<"sub" | "start" | "end">, from: "start" | "end"): number {
  const characters = Array.from(text);
  const bound = (name: "start" | "end", otherwise: number): number => {
    const index = args.integer(name) ?? otherwise;
    return Math.max(index < 0 ? index + characters.length : index, 0);
  };
  const first = bound("start", 0);
  if (first > characters.length) {
    return -1;
  }
  const within = characters.slice(first, bound("end", characters.length)).join("");
  const part = args.requireText("sub");
  const index = from === "start" ? within.indexOf(part) : within.lastIndexOf(part);
  return index < 0 ? -1 : first + Array.from(within.slice(0, index)).length;
}

/** The index of a part in code points, where there must be one. */
function indexOf(text: string, args: BoundArguments<"sub" | "start" | "end">, from: "start" | "end"): number {
  const index = find(text, args, from);
  if (index < 0) {
    throw new Error(`${JSON.stringify(args.requireText("sub"))} is not in the text`);
  }
  return index;
}

/** Fills a number up with zeros between the sign and the digits. */
function fillWithZeros(text: string, width: number): string {
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  const missing = Math.max(width - Array.from(text).length, 0);
  spendText(text.length + missing);
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

function swapCase(text: string): string {
  return Array.from(text, (character) =>
    /\p{Lu}/u.test(character) ? character.toLowerCase() : character.toUpperCase(),
  ).join("");
}

function count(text: string, part: string): number {
  return part === "" ? Array.from(text).length + 1 : text.split(part).length - 1;
}

/** Whether one of some texts, or the only one, is at an end of the text. */
function hasAffix(text: string, affix: Value, side: "startsWith" | "endsWith"): boolean {
  const affixes = affix.kind === "tuple" ? affix.items : [affix];
  return affixes.some((one) => {
    if (one.kind !== "text") {
      throw new Error(`${side.toLowerCase()} takes a text or a tuple of texts; found ${nameOf(one)}`);
    }
    return text[side](one.value);
  });
}

function pad(
  text: string,
  args: BoundArguments<"width" | "fillchar">,
  side: "left" | "right" | "both",
): string {
  return padText(text, args.integer("width") ?? 0, args.text("fillchar") ?? " ", side);
}

/** A text between so many characters that it has the given width. */
export function padText(text: string, width: number, fill: string, side: "left" | "right" | "both"): string {
  const missing = Math.max(width - Array.from(text).length, 0);
  spendText(text.length + missing);
  // Python's center puts the odd one to the left where the width is odd too.
  const half = Math.floor(missing / 2) + (missing & width & 1);
  const left = side === "right" ? 0 : side === "left" ? missing : half;
  return fill.repeat(left) + text + fill.repeat(missing - left);
}

function partition(text: string, separator: string, index: number): string[] | undefined {
  if (separator === "") {
    throw new Error("partition: the separator is empty");
  }
  return index < 0 ? undefined : [text.slice(0, index), separator, text.slice(index + separator.length)];
}

/** Whether a text has cased characters, and none of the other case. */
function isCase(text: string, other: RegExp): boolean {
  return /\p{Cased}/u.test(text) && !other.test(text);
}

export function isLower(text: string): boolean {
  return isCase(text, /[\p{Lu}\p{Lt}]/u);
}

export function isUpper(text: string): boolean {
  return isCase(text, /[\p{Ll}\p{Lt}]/u);
}

type Method = (text: string, args: Arguments) => Value;

const texts = (parts: readonly string[]): Value => listOf(parts.map(textOf));

/** A method without arguments. */
function plain(name: string, method: (text: string) => Value): readonly [string, Method] {
  return [
    name,
    (text, args) => {
      bind(name, args, []);
      return method(text);
    },
  ];
}

function method<Name extends string>(
  name: string,
  parameters: readonly Name[],
  run: (text: string, args: BoundArguments<Name>) => Value,
): readonly [string, Method] {
  return [name, (text, args) => run(text, bind(name, args, parameters))];
}

/** The methods by name. One that does not take its arguments throws an Error. */
export const textMethods: ReadonlyMap<string, Method> = new Map<string, Method>([
  plain("upper", (text) => textOf(text.toUpperCase())),
  plain("lower", (text) => textOf(text.toLowerCase())),
  plain("capitalize", (text) => textOf(capitalize(text))),
  plain("swapcase", (text) => textOf(swapCase(text))),
  plain("title", (text) => textOf(title(text))),
  plain("isalnum", (text) => booleanOf(/^[\p{L}\p{N}]+$/u.test(text))),
  plain("isalpha", (text) => booleanOf(/^\p{L}+$/u.test(text))),
  plain("isdecimal", (text) => booleanOf(/^\p{Nd}+$/u.test(text))),
  plain("isdigit", (text) => booleanOf(/^\p{Nd}+$/u.test(text))),
  plain("islower", (text) => booleanOf(isLower(text))),
  plain("isspace", (text) => booleanOf(text !== "" && strip(text, "left") === "")),
  plain("isupper", (text) => booleanOf(isUpper(text))),
  method("strip", ["chars"], (text, args) => textOf(strip(text, "both", args.text("chars")))),
  method("lstrip", ["chars"], (text, args) => textOf(strip(text, "left", args.text("chars")))),
  method("rstrip", ["chars"], (text, args) => textOf(strip(text, "right", args.text("chars")))),
  method("startswith", ["prefix"], (text, args) =>
    booleanOf(hasAffix(text, args.require("prefix"), "startsWith")),
  ),
  method("endswith", ["suffix"], (text, args) =>
    booleanOf(hasAffix(text, args.require("suffix"), "endsWith")),
  ),
  method("removeprefix", ["prefix"], (text, args) => {
    const prefix = args.requireText("prefix");
    return textOf(text.startsWith(prefix) ? text.slice(prefix.length) : text);
  }),
  method("removesuffix", ["suffix"], (text, args) => {
    const suffix = args.requireText("suffix");
    return textOf(text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text);
  }),
  method("split", ["sep", "maxsplit"], (text, args) =>
    texts(split(text, args.text("sep"), args.integer("maxsplit") ?? -1)),
  ),
  method("rsplit", ["sep", "maxsplit"], (text, args) =>
    texts(splitFromEnd(text, args.text("sep"), args.integer("maxsplit") ?? -1)),
  ),
  plain("splitlines", (text) => texts(splitLines(text))),
  method("partition", ["sep"], (text, args) => {
    const separator = args.requireText("sep");
    return tupleOf((partition(text, separator, text.indexOf(separator)) ?? [text, "", ""]).map(textOf));
  }),
  method("rpartition", ["sep"], (text, args) => {
    const separator = args.requireText("sep");
    return tupleOf((partition(text, separator, text.lastIndexOf(separator)) ?? ["", "", text]).map(textOf));
  }),
  method("join", ["iterable"], (text, args) => {
    const items = args.require("iterable");
    const parts = iterate(items).map((item) => {
      if (item.kind === "text") {
        return item.value;
      }
      throw new Error(
        `join takes texts; found ${nameOf(item)} in ${isSequence(items) ? str(items) : nameOf(items)}`,
      );
    });
    return textOf(parts.join(text));
  }),
  method("replace", ["old", "new", "count"], (text, args) =>
    textOf(replace(text, args.requireText("old"), args.requireText("new"), args.integer("count"))),
  ),
  method("find", ["sub", "start", "end"], (text, args) => integerOf(find(text, args, "start"))),
  method("rfind", ["sub", "start", "end"], (text, args) => integerOf(find(text, args, "end"))),
  method("index", ["sub", "start", "end"], (text, args) => integerOf(indexOf(text, args, "start"))),
  method("rindex", ["sub", "start", "end"], (text, args) => integerOf(indexOf(text, args, "end"))),
  method("count", ["sub"], (text, args) => integerOf(count(text, args.requireText("sub")))),
  method("zfill", ["width"], (text, args) => {
    args.require("width");
    return textOf(fillWithZeros(text, args.integer("width") ?? 0));
  }),
  method("ljust", ["width", "fillchar"], (text, args) => textOf(pad(text, args, "right"))),
  method("rjust", ["width", "fillchar"], (text, args) => textOf(pad(text, args, "left"))),
  method("center", ["width", "fillchar"], (text, args) => textOf(pad(text, args, "both"))),
]);
