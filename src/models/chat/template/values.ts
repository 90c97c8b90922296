/**
 * The values of a template while it runs, with the types of Python: templates are written for Python's Jinja, where 1 and
 * 1.0 print differently, and `{{ true }}` prints True.
 */

import { spend, spendItems, spendText } from "./limits.ts";

export type Value =
  | UndefinedValue
  | NoneValue
  | BooleanValue
  | NumberValue
  | TextValue
  | SequenceValue
  | Mapping
  | NamespaceValue
  | FunctionValue;

/** The value of a name or a field that is not there. It prints nothing. */
export interface UndefinedValue {
  readonly kind: "undefined";
}

export interface NoneValue {
  readonly kind: "none";
}

export interface BooleanValue {
  readonly kind: "boolean";
  readonly value: boolean;
}

export interface NumberValue {
  /** An integer is exact: at most 2^53 - 1 in magnitude. */
  readonly kind: "integer" | "float";
  readonly value: number;
}

export interface TextValue {
  readonly kind: "text";
  readonly value: string;
}

export interface SequenceValue {
  readonly kind: "list" | "tuple";
  readonly items: readonly Value[];
  /** The names of a tuple's items, of a named tuple. */
  readonly names?: readonly string[];
}

/** Fields by name that a template may set (`namespace`), or that belong to a loop. It is no mapping. */
export interface NamespaceValue {
  readonly kind: "namespace";
  readonly fields: Map<string, Value>;
  /** What calling it does: of a loop that is recursive, running it over other items. */
  readonly call?: (args: Arguments) => Value;
}

export interface FunctionValue {
  readonly kind: "function";
  readonly call: (args: Arguments) => Value;
}

/** What a function, a filter or a test is called with. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** Python's dict, in the order of insertion. As in Jinja's immutable sandbox, nothing changes it once it is there. */
export class Mapping {
  readonly kind = "mapping";
  readonly #entries = new Map<string, readonly [Value, Value]>();

  /** @throws Error for an entry whose key cannot be one: a list or a mapping */
  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) {
      const hash = hashOf(key);
      // Python keeps the key that came first.
      this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key; undefined when there is no such key. @throws Error for what cannot be a key */
  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1];
  }

  keys(): Value[] {
    return this.entries().map(([key]) => key);
  }

  values(): Value[] {
    return this.entries().map(([, value]) => value);
  }

  entries(): (readonly [Value, Value])[] {
    return [...this.#entries.values()];
  }
}

/**
 * A text that is the same for keys that are equal in Python: 1, 1.0 and True are one key.
 *
 * @throws Error for what cannot be a key: a list, a mapping or a namespace
 */
export function hashOf(key: Value): string {
  spend();
  switch (key.kind) {
    case "text":
      return `"${key.value}`;
    case "boolean":
    case "integer":
    case "float":
      return String(Number(key.value));
    case "none":
    case "undefined":
      return key.kind;
    case "tuple":
      return spent(`(${key.items.map((item) => JSON.stringify(hashOf(item))).join()})`);
    case "list":
    case "mapping":
    case "namespace":
    case "function":
      throw new Error(`${nameOf(key)} cannot be a key of a mapping`);
  }
}

function spent(text: string): string {
  spendText(text.length);
  return text;
}

export const UNDEFINED: UndefinedValue = { kind: "undefined" };
export const NONE: NoneValue = { kind: "none" };
const TRUE: BooleanValue = { kind: "boolean", value: true };
const FALSE: BooleanValue = { kind: "boolean", value: false };

export function booleanOf(value: boolean): BooleanValue {
  return value ? TRUE : FALSE;
}

/** An integer as a value. @throws Error for one that is not exact */
export function integerOf(value: number): NumberValue {
  if (Number.isSafeInteger(value)) {
    // There is no integer -0.
    return { kind: "integer", value: value + 0 };
  }
  throw new Error(`an integer of more than ${Number.MAX_SAFE_INTEGER} in magnitude is not computed here`);
}

export function floatOf(value: number): NumberValue {
  return { kind: "float", value };
}

export function textOf(value: string): TextValue {
  return { kind: "text", value };
}

export function listOf(items: readonly Value[]): SequenceValue {
  return { kind: "list", items };
}

export function tupleOf(items: readonly Value[]): SequenceValue {
  return { kind: "tuple", items };
}

export function functionOf(call: (args: Arguments) => Value): FunctionValue {
  return { kind: "function", call };
}

/**
 * The value of JSON as Python's json module reads it: a number without a fraction is an integer. A field whose value is
 * undefined is not there, as in JSON.
 *
 * @throws Error for what is no JSON
 */
export function fromJson(value: unknown): Value {
  switch (typeof value) {
    case "string":
      return textOf(value);
    case "boolean":
      return booleanOf(value);
    case "number":
      return Number.isInteger(value) ? { kind: "integer", value } : floatOf(value);
    case "object":
      if (value === null) {
        return NONE;
      }
      if (Array.isArray(value)) {
        return listOf(value.map((item) => (item === undefined ? NONE : fromJson(item))));
      }
      return new Mapping(
        Object.entries(value)
          .filter(([, field]) => field !== undefined)
          .map(([key, field]) => [textOf(key), fromJson(field)]),
      );
    case "bigint":
    case "function":
    case "symbol":
    case "undefined":
      throw new Error(`a template cannot be given a ${typeof value}; expected JSON`);
  }
}

export function isSequence(value: Value): value is SequenceValue {
  return value.kind === "list" || value.kind === "tuple";
}

/** The number of a number, or of a boolean as Python counts with it; undefined for all else. */
export function numberOf(value: Value): number | undefined {
  return value.kind === "boolean" || value.kind === "integer" || value.kind === "float"
    ? Number(value.value)
    : undefined;
}

/** Whether a value is true, as Python's `bool()` tells. */
export function isTrue(value: Value): boolean {
  switch (value.kind) {
    case "undefined":
    case "none":
      return false;
    case "boolean":
      return value.value;
    case "integer":
    case "float":
      return value.value !== 0;
    case "text":
      return value.value !== "";
    case "list":
    case "tuple":
      return value.items.length > 0;
    case "mapping":
      return value.size > 0;
    case "namespace":
    case "function":
      return true;
  }
}

/** The values that Python iterates over: items, keys, characters; none for what is undefined. @throws Error for the rest */
export function iterate(value: Value): readonly Value[] {
  switch (value.kind) {
    case "list":
    case "tuple":
      return value.items;
    case "mapping":
      spendItems(value.size);
      return value.keys();
    case "text":
      spendItems(value.value.length);
      return Array.from(value.value, textOf);
    case "undefined":
      return [];
    case "none":
    case "boolean":
    case "integer":
    case "float":
    case "namespace":
    case "function":
      throw new Error(`${nameOf(value)} is not a list, a mapping or a text, and cannot be iterated`);
  }
}

const NAMES: Readonly<Record<Value["kind"], string>> = {
  undefined: "an undefined value",
  none: "None",
  boolean: "a boolean",
  integer: "an integer",
  float: "a float",
  text: "a text",
  list: "a list",
  tuple: "a tuple",
  mapping: "a mapping",
  namespace: "a namespace",
  function: "a function",
};

/** The kind of a value, as messages name it. */
export function nameOf({ kind }: Value): string {
  return NAMES[kind];
}
