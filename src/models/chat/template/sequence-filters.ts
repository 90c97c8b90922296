/** Jinja's filters that cut, group and sum up what they go over (jinja2/filters.py). */
import { bind, type BoundArguments } from "./arguments.ts";
import { spend, spendItems } from "./limits.ts";
import { path } from "./members.ts";
import { compare, equals, operate } from "./operators.ts";
import { str } from "./print.ts";
import {
  floatOf,
  integerOf,
  isSequence,
  iterate,
  listOf,
  nameOf,
  numberOf,
  textOf,
  UNDEFINED,
  type Arguments,
  type Value,
} from "./values.ts";

/** The key that a value is sorted and told apart by: a path of it, texts without their case unless it counts. */
export function keyOf(value: Value, attribute: string | undefined, isCaseSensitive: boolean): Value {
  const key = attribute === undefined ? value : path(value, attribute);
  return key.kind === "text" && !isCaseSensitive ? textOf(key.value.toLowerCase()) : key;
}

/** Sorts values by a key. Those that are equal keep their order, also in reverse. */
export function sortBy(values: readonly Value[], key: (value: Value) => Value, isReverse: boolean): Value[] {
  spendItems(values.length);
  const keyed = values.map((value) => ({ value, key: key(value) }));
  keyed.sort((a, b) => (isReverse ? compare(b.key, a.key) : compare(a.key, b.key)));
  return keyed.map(({ value }) => value);
}

/** The filter batch: lists of so many items; the last is filled up where there is something to fill it with. */
export function batch(value: Value, args: BoundArguments<"linecount" | "fill_with">): Value {
  args.require("linecount");
  const size = args.integer("linecount") ?? 0;
  if (size < 1) {
    throw new Error(`batch: the size ${size} is less than 1`);
  }
  const items = iterate(value);
  const lists: Value[][] = [];
  for (let i = 0; i < items.length; i += size) {
    lists.push(items.slice(i, i + size));
  }
  const filler = args.get("fill_with");
  const last = lists.at(-1);
  if (filler !== undefined && filler.kind !== "none" && last !== undefined) {
    spendItems(size);
    while (last.length < size) {
      last.push(filler);
    }
  }
  spendItems(items.length);
  return listOf(lists.map(listOf));
}

/** The filter slice: so many lists, the first of which are longer where the items do not suffice for all. */
export function slices(value: Value, args: BoundArguments<"slices" | "fill_with">): Value {
  args.require("slices");
  const count = args.integer("slices") ?? 0;
  if (count < 1) {
    throw new Error(`slice: the number ${count} is less than 1`);
  }
  const items = iterate(value);
  spendItems(items.length + count);
  const [least, longer] = [Math.floor(items.length / count), items.length % count];
  const filler = args.get("fill_with");
  const fills = filler !== undefined && filler.kind !== "none";
  return listOf(
    Array.from({ length: count }, (_, i) => {
      const start = i * least + Math.min(i, longer);
      const part = items.slice(start, start + least + (i < longer ? 1 : 0));
      return listOf(fills && i >= longer ? [...part, filler] : part);
    }),
  );
}

/** The filter groupby: pairs of a key and the items that have it, in the order of the keys. */
export function groupBy(
  value: Value,
  args: BoundArguments<"attribute" | "default" | "case_sensitive">,
): Value {
  const attribute = str(args.require("attribute"));
  const isCaseSensitive = args.flag("case_sensitive") ?? false;
  const fieldOf = (one: Value): Value => {
    const found = path(one, attribute);
    return found.kind === "undefined" ? (args.get("default") ?? found) : found;
  };
  const key = (one: Value): Value => keyOf(fieldOf(one), undefined, isCaseSensitive);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const one of sortBy(iterate(value), key, false)) {
    const own = key(one);
    const last = groups.at(-1);
    if (last !== undefined && equals(last.key, own)) {
      last.items.push(one);
    } else {
      groups.push({ key: own, items: [one] });
    }
  }
  return listOf(
    groups.map(({ items }) => ({
      kind: "tuple" as const,
      // The key is shown as the first of its items has it.
      items: [items[0] === undefined ? UNDEFINED : fieldOf(items[0]), listOf(items)],
      names: ["grouper", "list"],
    })),
  );
}

/** The filters max and min. @param direction 1 for the largest, -1 for the smallest */
export function extreme(direction: 1 | -1) {
  return (value: Value, args: BoundArguments<"case_sensitive" | "attribute">): Value => {
    const attribute = args.get("attribute");
    const isCaseSensitive = args.flag("case_sensitive") ?? false;
    const name = attribute === undefined || attribute.kind === "none" ? undefined : str(attribute);
    let best: { readonly value: Value; readonly key: Value } | undefined;
    for (const one of iterate(value)) {
      const key = keyOf(one, name, isCaseSensitive);
      if (best === undefined || direction * compare(key, best.key) > 0) {
        best = { value: one, key };
      }
    }
    return best?.value ?? UNDEFINED;
  };
}

export function sum(value: Value, args: BoundArguments<"attribute" | "start">): Value {
  const attribute = args.get("attribute");
  const isWhole = attribute === undefined || attribute.kind === "none";
  return iterate(value)
    .map((one) => (isWhole ? one : path(one, str(attribute))))
    .reduce(
      (total, one) => {
        spend();
        return operate("+", total, one);
      },
      args.get("start") ?? integerOf(0),
    );
}

/** The filter round: as Python's `round()`, to the even neighbour of a half; an integer stays one. */
export function round(value: Value, args: BoundArguments<"precision" | "method">): Value {
  const number = numberOf(value);
  if (number === undefined) {
    throw new Error(`round: ${nameOf(value)} is not a number`);
  }
  const precision = args.integer("precision") ?? 0;
  const method = args.text("method") ?? "common";
  if (!["common", "ceil", "floor"].includes(method)) {
    throw new Error(`round: the method ${JSON.stringify(method)} is unknown; expected common, ceil or floor`);
  }
  if (Math.abs(precision) > 300) {
    throw new Error(`round: the precision ${precision} is beyond 300`);
  }
  if (method === "common") {
    const rounded = roundHalfEven(number, precision);
    return value.kind === "float" ? floatOf(rounded) : integerOf(rounded);
  }
  const scale = 10 ** precision;
  return floatOf((method === "ceil" ? Math.ceil(number * scale) : Math.floor(number * scale)) / scale);
}

/** Rounds what a number exactly is: its decimal digits end, if late. */
function roundHalfEven(number: number, precision: number): number {
  if (!Number.isFinite(number) || (Number.isInteger(number) && precision >= 0)) {
    return number;
  }
  if (precision < 0) {
    const scale = 10 ** -precision;
    const quotient = number / scale;
    const [low, part] = [Math.floor(quotient), quotient - Math.floor(quotient)];
    const up = part > 0.5 || (part === 0.5 && low % 2 !== 0);
    return (low + (up ? 1 : 0)) * scale;
  }
  if (precision > 50) {
    return number;
  }
  // All digits of a double that is not tiny stand among the first hundred behind the point.
  const digits = Math.abs(number).toFixed(100);
  const point = digits.indexOf(".");
  const kept = digits.slice(0, point + 1 + precision);
  const rest = digits.slice(point + 1 + precision);
  const isHalf = /^50*$/.test(rest);
  const lastDigit = Number(kept.replace(/\.$/, "").at(-1));
  const up = isHalf ? lastDigit % 2 === 1 : rest >= "5";
  const least = Number(kept);
  const rounded = up ? Number((least + 10 ** -precision).toFixed(precision)) : least;
  return number < 0 ? -rounded : rounded;
}

/** The filter truncate: a text that ends with another where it is too long, if it may between two words. */
export function truncate(
  value: Value,
  args: BoundArguments<"length" | "killwords" | "end" | "leeway">,
): Value {
  if (!["list", "mapping", "text", "tuple", "undefined"].includes(value.kind)) {
    throw new Error(`truncate: ${nameOf(value)} is not a text`);
  }
  const characters = value.kind === "text" ? Array.from(value.value) : [];
  const size = value.kind === "mapping" ? value.size : isSequence(value) ? value.items.length : 0;
  const [length, end] = [args.integer("length") ?? 255, args.text("end") ?? "..."];
  const leeway = args.integer("leeway") ?? 5;
  const room = length - Array.from(end).length;
  if (room < 0 || leeway < 0) {
    throw new Error(`truncate: the length ${length} or the leeway ${leeway} is too small`);
  }
  if (Math.max(characters.length, size) <= length + leeway) {
    return value;
  }
  if (value.kind !== "text") {
    throw new Error(`truncate: ${nameOf(value)} is not a text`);
  }
  const head = characters.slice(0, room).join("");
  const space = head.lastIndexOf(" ");
  const isCut = args.flag("killwords") ?? false;
  return textOf((isCut || space < 0 ? head : head.slice(0, space)) + end);
}

/** The number of words of a text: runs of letters, digits and underscores of any script. */
export function wordCount(value: Value): Value {
  return integerOf(str(value).match(/[\p{L}\p{N}_\p{M}]+/gu)?.length ?? 0);
}

/** The function cycler: an object that gives its values in turn. */
export function cycler({ positional, named }: Arguments): Value {
  if (positional.length === 0 || named.size > 0) {
    throw new Error("cycler needs values to choose among");
  }
  let at = 0;
  const fields = new Map<string, Value>();
  const show = (): void => void fields.set("current", positional[at] ?? UNDEFINED);
  const next = (args: Arguments): Value => {
    bind("cycler.next", args, []);
    const value = positional[at] ?? UNDEFINED;
    at = (at + 1) % positional.length;
    show();
    return value;
  };
  const reset = (args: Arguments): Value => {
    bind("cycler.reset", args, []);
    at = 0;
    show();
    return { kind: "none" };
  };
  fields.set("next", { kind: "function", call: next }).set("reset", { kind: "function", call: reset });
  show();
  return { kind: "namespace", fields };
}

/** The function joiner: it gives nothing the first time, then what stands between. */
export function joiner(args: Arguments): Value {
  const separator = bind("joiner", args, ["sep"]).get("sep") ?? textOf(", ");
  let isFirst = true;
  return {
    kind: "function",
    call: (given) => {
      bind("joiner", given, []);
      const value = isFirst ? textOf("") : separator;
      isFirst = false;
      return value;
    },
  };
}
