/** What `value.name` and `value[key]` are, as Jinja's sandbox resolves them (jinja2/sandbox.py: getattr, getitem). */
import { bind } from "./arguments.ts";
import { braces } from "./format.ts";
import { spendItems, spendText } from "./limits.ts";
import { equals } from "./operators.ts";
import { repr } from "./print.ts";
import { textMethods } from "./text-methods.ts";
import {
  functionOf,
  integerOf,
  isSequence,
  listOf,
  nameOf,
  NONE,
  textOf,
  tupleOf,
  UNDEFINED,
  type Mapping,
  type SequenceValue,
  type Value,
} from "./values.ts";

/** What `value.name` is: a method before a field, so `x.items` is the method also of a mapping with a key "items". */
export function attribute(value: Value, name: string): Value {
  return ownAttribute(value, name) ?? fieldOf(value, textOf(name)) ?? UNDEFINED;
}

/** What `value[key]` is: a field before a method. @throws Error for a slice of what has no order */
export function item(value: Value, key: Value): Value {
  return (
    fieldOf(value, key) ?? (key.kind === "text" ? ownAttribute(value, key.value) : undefined) ?? UNDEFINED
  );
}

/** The value of a path such as `a.b.0`, by which filters name what they look at: fields by name, integers as indices. */
export function path(value: Value, names: string): Value {
  return names
    .split(".")
    .reduce<Value>(
      (at, name) => item(at, /^\d+$/.test(name) ? integerOf(Number(name)) : textOf(name)),
      value,
    );
}

/** What `value[start:stop:step]` is, of a text or a sequence. @throws Error for other values, and a step of 0 */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  if (value.kind === "text") {
    spendText(value.value.length);
    const characters = Array.from(value.value);
    return textOf(
      indices(characters.length, start, stop, step)
        .map((i) => characters[i])
        .join(""),
    );
  }
  if (!isSequence(value)) {
    throw new Error(`${nameOf(value)} has no slices`);
  }
  const items = indices(value.items.length, start, stop, step).map((i) => value.items[i]);
  return value.kind === "list" ? listOf(items) : tupleOf(items);
}

/** The indices that a slice of so many items has, as Python's slice.indices() gives them. */
function indices(length: number, start: Value, stop: Value, step: Value): number[] {
  const by = bound(step) ?? 1;
  if (by === 0) {
    throw new Error("the step of a slice is 0");
  }
  const [least, most] = by > 0 ? [0, length] : [-1, length - 1];
  const clamp = (value: number | undefined, otherwise: number): number =>
    value === undefined ? otherwise : Math.min(Math.max(value < 0 ? value + length : value, least), most);
  const first = clamp(bound(start), by > 0 ? least : most);
  const end = clamp(bound(stop), by > 0 ? most : least);
  const count = Math.max(Math.ceil((end - first) / by), 0);
  spendItems(count);
  return Array.from({ length: count }, (_, i) => first + i * by);
}

function bound(value: Value): number | undefined {
  if (value.kind === "none" || value.kind === "undefined") {
    return undefined;
  }
  if (value.kind === "integer" || value.kind === "boolean") {
    return Number(value.value);
  }
  throw new Error(`a bound of a slice is ${nameOf(value)}; expected an integer`);
}

/** What a value has under a key; undefined when it has nothing. */
function fieldOf(value: Value, key: Value): Value | undefined {
  if (value.kind === "mapping") {
    // What cannot be a key is no key of this mapping.
    return key.kind === "list" || key.kind === "mapping" ? undefined : value.get(key);
  }
  if (key.kind !== "integer" && key.kind !== "boolean") {
    return undefined;
  }
  const index = Number(key.value);
  if (value.kind === "text") {
    spendText(value.value.length);
    const character = Array.from(value.value).at(index);
    return character === undefined ? undefined : textOf(character);
  }
  return isSequence(value) ? value.items.at(index) : undefined;
}

/** What a value has as Python's object; undefined when it has nothing of that name. */
function ownAttribute(value: Value, name: string): Value | undefined {
  if (value.kind === "text") {
    if (name === "format") {
      return functionOf((args) => textOf(braces(value.value, args, { attribute, item })));
    }
    const method = textMethods.get(name);
    return method === undefined
      ? undefined
      : functionOf((args) => {
          spendText(value.value.length);
          return method(value.value, args);
        });
  }
  if (value.kind === "mapping") {
    return mappingAttribute(value, name);
  }
  if (value.kind === "tuple" && value.names !== undefined) {
    return value.items[value.names.indexOf(name)];
  }
  if (value.kind === "namespace") {
    return value.fields.get(name);
  }
  return isSequence(value) ? sequenceAttribute(value, name) : undefined;
}

/** Methods that would change a mapping: the sandbox gives undefined for them. */
const MUTATING = new Set(["clear", "pop", "popitem", "setdefault", "update"]);

function mappingAttribute(mapping: Mapping, name: string): Value | undefined {
  switch (name) {
    case "get":
      return functionOf((args) => {
        const given = bind(name, args, ["key", "default"]);
        return mapping.get(given.require("key")) ?? given.get("default") ?? NONE;
      });
    case "items":
      return functionOf((args) => {
        bind(name, args, []);
        return listOf(mapping.entries().map(tupleOf));
      });
    case "keys":
      return functionOf((args) => {
        bind(name, args, []);
        return listOf(mapping.keys());
      });
    case "values":
      return functionOf((args) => {
        bind(name, args, []);
        return listOf(mapping.values());
      });
    case "copy":
      return functionOf((args) => {
        bind(name, args, []);
        return mapping;
      });
  }
  return MUTATING.has(name) ? UNDEFINED : undefined;
}

function sequenceAttribute({ items }: SequenceValue, name: string): Value | undefined {
  switch (name) {
    case "count":
      return functionOf((args) => {
        const wanted = bind(name, args, ["value"]).require("value");
        return integerOf(items.filter((one) => equals(one, wanted)).length);
      });
    case "index":
      return functionOf((args) => {
        const wanted = bind(name, args, ["value"]).require("value");
        const index = items.findIndex((one) => equals(one, wanted));
        if (index < 0) {
          throw new Error(`index: ${repr(wanted)} is not in the list`);
        }
        return integerOf(index);
      });
  }
  return undefined;
}
