/** Jinja's filters (jinja2/filters.py), and `tojson` as transformers has it (utils/chat_template_utils.py). */
import { clip } from "../../../base/clip.ts";
import { bind, shift, type BoundArguments } from "./arguments.ts";
import { path } from "./members.ts";
import { formatValues, percent } from "./format.ts";
import { spend, spendText } from "./limits.ts";
import { dumpJson, str } from "./print.ts";
import {
  batch,
  extreme,
  groupBy,
  keyOf,
  round,
  slices,
  sortBy,
  sum,
  truncate,
  wordCount,
} from "./sequence-filters.ts";
import { applyTest } from "./tests.ts";
import { capitalize, padText, replace, splitLines, strip } from "./text-methods.ts";
import {
  floatOf,
  hashOf,
  integerOf,
  isSequence,
  isTrue,
  iterate,
  listOf,
  nameOf,
  numberOf,
  textOf,
  tupleOf,
  UNDEFINED,
  type Arguments,
  type Value,
} from "./values.ts";

type Filter = (value: Value, args: Arguments) => Value;

/** A filter of the value alone. */
function plain(name: string, filter: (value: Value) => Value): readonly [string, Filter] {
  return [
    name,
    (value, args) => {
      bind(name, args, []);
      return filter(value);
    },
  ];
}

function filter<Name extends string>(
  name: string,
  parameters: readonly Name[],
  run: (value: Value, args: BoundArguments<Name>) => Value,
): readonly [string, Filter] {
  return [name, (value, args) => run(value, bind(name, args, parameters))];
}

function lengthOf(value: Value): Value {
  return integerOf(value.kind === "mapping" ? value.size : iterate(value).length);
}

function items(value: Value): Value {
  if (value.kind === "undefined") {
    return listOf([]);
  }
  if (value.kind !== "mapping") {
    throw new Error(`items: ${nameOf(value)} is not a mapping`);
  }
  return listOf(value.entries().map(tupleOf));
}

function reverse(value: Value): Value {
  const reversed = iterate(value).toReversed();
  return value.kind === "text" ? textOf(reversed.map(str).join("")) : listOf(reversed);
}

/** Makes the first letter of every word large and the rest small; words begin after white space and opening brackets. */
function title(text: string): string {
  return text
    .split(/([-\s({[<]+)/u)
    .map(capitalizePart)
    .join("");
}

function capitalizePart(part: string): string {
  const [first = ""] = part;
  return first.toUpperCase() + part.slice(first.length).toLowerCase();
}

/** @throws Error for more than fit */
function spaces(count: number): string {
  spendText(Math.max(count, 0));
  return " ".repeat(Math.max(count, 0));
}

function indent(value: Value, args: BoundArguments<"width" | "first" | "blank">): Value {
  if (value.kind !== "text") {
    throw new Error(`indent: ${nameOf(value)} is not a text`);
  }
  const width = args.get("width");
  const indention = width?.kind === "text" ? width.value : spaces(args.integer("width") ?? 4);
  const lines = splitLines(`${value.value}\n`);
  spendText(lines.length * indention.length + value.value.length);
  const isBlankToo = args.flag("blank") ?? false;
  const indented = lines.map((line, i) =>
    i === 0 || (line === "" && !isBlankToo) ? line : indention + line,
  );
  return textOf(((args.flag("first") ?? false) ? indention : "") + indented.join("\n"));
}

function join(value: Value, args: BoundArguments<"d" | "attribute">): Value {
  const attribute = args.get("attribute");
  const parts = iterate(value).map((one) => (attribute === undefined ? one : path(one, str(attribute))));
  const separator = args.get("d");
  const texts = parts.map(str);
  const between = separator === undefined ? "" : str(separator);
  spendText(texts.reduce((sum, text) => sum + text.length, between.length * texts.length));
  return textOf(texts.join(between));
}

function sort(value: Value, args: BoundArguments<"reverse" | "case_sensitive" | "attribute">): Value {
  const attribute = args.get("attribute");
  // Several paths, with commas between them, are compared one after the other.
  const paths =
    attribute === undefined || attribute.kind === "none" ? [undefined] : str(attribute).split(",");
  const isCaseSensitive = args.flag("case_sensitive") ?? false;
  const key = (one: Value): Value => listOf(paths.map((part) => keyOf(one, part, isCaseSensitive)));
  return listOf(sortBy(iterate(value), key, args.flag("reverse") ?? false));
}

function dictsort(value: Value, args: BoundArguments<"case_sensitive" | "by" | "reverse">): Value {
  if (value.kind !== "mapping") {
    throw new Error(`dictsort: ${nameOf(value)} is not a mapping`);
  }
  const by = args.text("by") ?? "key";
  if (by !== "key" && by !== "value") {
    throw new Error(`dictsort: the argument "by" is ${JSON.stringify(by)}; expected "key" or "value"`);
  }
  const isCaseSensitive = args.flag("case_sensitive") ?? false;
  const key = (pair: Value): Value => keyOf(pair, by === "key" ? "0" : "1", isCaseSensitive);
  return listOf(sortBy(value.entries().map(tupleOf), key, args.flag("reverse") ?? false));
}

function unique(value: Value, args: BoundArguments<"case_sensitive" | "attribute">): Value {
  const attribute = args.get("attribute");
  const isCaseSensitive = args.flag("case_sensitive") ?? false;
  const seen = new Set<string>();
  const found = iterate(value).filter((one) => {
    const hash = hashOf(keyOf(one, attribute === undefined ? undefined : str(attribute), isCaseSensitive));
    const isNew = !seen.has(hash);
    seen.add(hash);
    return isNew;
  });
  return listOf(found);
}

/** Python's `int()`, which takes the text of an integer, and also of a float as Jinja's filter does. */
function toInteger(value: Value, args: BoundArguments<"default">): Value {
  if (value.kind === "text") {
    const text = strip(value.value, "both");
    const number = /^[+-]?\d+$/.test(text) ? Number(text) : floatFrom(text);
    return Number.isFinite(number) ? integerOf(Math.trunc(number)) : (args.get("default") ?? integerOf(0));
  }
  requireDefined("int", value);
  const number = numberOf(value);
  return number !== undefined && Number.isFinite(number)
    ? integerOf(Math.trunc(number))
    : (args.get("default") ?? integerOf(0));
}

function toFloat(value: Value, args: BoundArguments<"default">): Value {
  requireDefined("float", value);
  const number = value.kind === "text" ? floatFrom(strip(value.value, "both")) : (numberOf(value) ?? NaN);
  return Number.isNaN(number) ? (args.get("default") ?? floatOf(0)) : floatOf(number);
}

/** Python's `float()` of a text; NaN for what is none. */
function floatFrom(text: string): number {
  if (/^[+-]?(inf|infinity)$/i.test(text)) {
    return text.startsWith("-") ? -Infinity : Infinity;
  }
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

function requireDefined(name: string, value: Value): void {
  if (value.kind === "undefined") {
    throw new Error(`${name} does not take an undefined value`);
  }
}

function absolute(value: Value): Value {
  const number = numberOf(value);
  if (number === undefined) {
    throw new Error(`abs: ${nameOf(value)} is not a number`);
  }
  return value.kind === "float" ? floatOf(Math.abs(number)) : integerOf(Math.abs(number));
}

type JsonParameter = "ensure_ascii" | "indent" | "separators" | "sort_keys";

function toJson(value: Value, args: BoundArguments<JsonParameter>): Value {
  const width = args.get("indent");
  const indention = width?.kind === "text" ? width.value : args.integer("indent");
  const separators = args.get("separators");
  const given = separators === undefined || separators.kind === "none" ? undefined : separators;
  if (given !== undefined && !(isSequence(given) && given.items.length === 2)) {
    throw new Error('tojson: the argument "separators" must be two texts');
  }
  const [itemSeparator, keySeparator] = given?.items.map(str) ?? [];
  return textOf(
    dumpJson(value, {
      isAscii: args.flag("ensure_ascii") ?? false,
      indent: typeof indention === "number" ? spaces(indention) : indention,
      itemSeparator,
      keySeparator: keySeparator ?? ": ",
      sortsKeys: args.flag("sort_keys") ?? false,
    }),
  );
}

/** The items that map, select and reject go over: none of any value that is false. */
function itemsOf(value: Value): readonly Value[] {
  return isTrue(value) ? iterate(value) : [];
}

/** The filter map: `map(attribute="name")`, or `map("filter", …)`. */
function map(value: Value, args: Arguments): Value {
  if (args.positional.length > 0) {
    const { first, rest } = shift(args);
    return listOf(itemsOf(value).map((one) => applyFilter(str(first), one, rest)));
  }
  const given = bind("map", args, ["attribute", "default"]);
  const attribute = str(given.require("attribute"));
  const otherwise = given.get("default") ?? UNDEFINED;
  return listOf(
    itemsOf(value).map((one) => {
      const found = path(one, attribute);
      return found.kind === "undefined" ? otherwise : found;
    }),
  );
}

/** The filter `select("test", …)`: the items that a test holds for; without a name, those that are true. */
function select(value: Value, args: Arguments, field: (item: Value) => Value, wanted: boolean): Value {
  const { first, rest } = shift(args);
  const holds = (one: Value): boolean =>
    args.positional.length === 0 ? isTrue(one) : applyTest(str(first), one, rest);
  return listOf(itemsOf(value).filter((one) => holds(field(one)) === wanted));
}

/** The filter `selectattr("name", "test", …)`: as select, of a field of each item. */
function selectByAttribute(name: string, wanted: boolean): readonly [string, Filter] {
  return [
    name,
    (value, args) => {
      if (args.positional.length === 0) {
        throw new Error(`${name} needs the name of a field`);
      }
      const { first, rest } = shift(args);
      return select(value, rest, (one) => path(one, str(first)), wanted);
    },
  ];
}

function ifMissing(value: Value, args: BoundArguments<"default_value" | "boolean">): Value {
  const isMissing =
    value.kind === "undefined" || (isTrue(args.get("boolean") ?? UNDEFINED) && !isTrue(value));
  return isMissing ? (args.get("default_value") ?? textOf("")) : value;
}

const filters: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  plain("abs", absolute),
  filter("batch", ["linecount", "fill_with"], batch),
  filter("center", ["width"], (value, args) =>
    textOf(padText(str(value), args.integer("width") ?? 80, " ", "both")),
  ),
  filter("groupby", ["attribute", "default", "case_sensitive"], groupBy),
  filter("max", ["case_sensitive", "attribute"], extreme(1)),
  filter("min", ["case_sensitive", "attribute"], extreme(-1)),
  filter("round", ["precision", "method"], round),
  filter("slice", ["slices", "fill_with"], slices),
  filter("sum", ["attribute", "start"], sum),
  filter("truncate", ["length", "killwords", "end", "leeway"], truncate),
  ["format", (value, args) => textOf(percent(str(value), formatValues(args)))],
  plain("wordcount", wordCount),
  plain("capitalize", (value) => textOf(capitalize(str(value)))),
  plain("count", lengthOf),
  plain("first", (value) => iterate(value)[0] ?? UNDEFINED),
  plain("items", items),
  plain("last", (value) => iterate(value).at(-1) ?? UNDEFINED),
  plain("length", lengthOf),
  plain("list", (value) => listOf(iterate(value))),
  plain("lower", (value) => textOf(str(value).toLowerCase())),
  plain("reverse", reverse),
  plain("safe", (value) => textOf(str(value))),
  plain("string", (value) => textOf(str(value))),
  plain("title", (value) => textOf(title(str(value)))),
  plain("upper", (value) => textOf(str(value).toUpperCase())),
  filter("d", ["default_value", "boolean"], ifMissing),
  filter("default", ["default_value", "boolean"], ifMissing),
  filter("dictsort", ["case_sensitive", "by", "reverse"], dictsort),
  filter("float", ["default"], toFloat),
  filter("indent", ["width", "first", "blank"], indent),
  filter("int", ["default"], toInteger),
  filter("join", ["d", "attribute"], join),
  filter("replace", ["old", "new", "count"], (value, args) =>
    textOf(replace(str(value), str(args.require("old")), str(args.require("new")), args.integer("count"))),
  ),
  filter("sort", ["reverse", "case_sensitive", "attribute"], sort),
  filter("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], toJson),
  filter("trim", ["chars"], (value, args) => textOf(strip(str(value), "both", args.text("chars")))),
  filter("unique", ["case_sensitive", "attribute"], unique),
  ["map", map],
  ["select", (value, args) => select(value, args, (one) => one, true)],
  ["reject", (value, args) => select(value, args, (one) => one, false)],
  selectByAttribute("selectattr", true),
  selectByAttribute("rejectattr", false),
]);

/**
 * Applies a filter to a value.
 *
 * @throws Error for a name that is not known here, and of a filter that does not take the value or its arguments
 */
export function applyFilter(name: string, value: Value, args: Arguments): Value {
  const found = filters.get(name);
  if (found === undefined) {
    throw new Error(`the filter ${JSON.stringify(clip(name))} is not known here`);
  }
  spend();
  if (value.kind === "text") {
    spendText(value.value.length);
  }
  return found(value, args);
}
