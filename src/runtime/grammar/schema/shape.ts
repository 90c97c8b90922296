/**
 * What a schema allows, type by type: a union of alternatives, each of which says for every JSON type what a value of it must
 * be. Schemas below (of properties and items) stay references, so that recursive ones have an end.
 */
import type { NumberBounds } from "../numbers.ts";
import type { SchemaAt } from "./place.ts";

/** A value must match all of these schemas. */
export type Below = readonly SchemaAt[];

export interface NumberShape extends NumberBounds {
  /** The numbers that it may be; absent: any. */
  readonly values?: readonly number[];
  /** Numbers that it is not. */
  readonly excluded: readonly number[];
  /** Numbers, integers >= 1, of which it is no multiple. */
  readonly notMultipleOf: readonly number[];
}

export interface StringShape {
  readonly least: number;
  readonly most: number;
  /** Patterns that are found in it, and formats that it has. */
  readonly patterns: readonly {
    readonly source: string;
    readonly isWhole: boolean;
    readonly isNot: boolean;
  }[];
  readonly values?: readonly string[];
  readonly excluded: readonly string[];
}

/** What one schema says of a list's items. */
export interface ItemsPart {
  readonly prefix: readonly SchemaAt[];
  readonly rest: SchemaAt | undefined;
}

export interface ArrayShape {
  readonly parts: readonly ItemsPart[];
  readonly least: number;
  readonly most: number;
  /** Schemas that one item at least must match. */
  readonly contains: readonly SchemaAt[];
}

/** What one schema says of an object's properties. */
export interface PropertiesPart {
  readonly named: ReadonlyMap<string, SchemaAt>;
  readonly patterns: readonly { readonly source: string; readonly at: SchemaAt }[];
  readonly additional: SchemaAt | undefined;
}

export interface ObjectShape {
  readonly parts: readonly PropertiesPart[];
  readonly required: readonly string[];
  readonly names: Below;
  readonly least: number;
  readonly most: number;
  /** Where errors about the number of properties point to. */
  readonly pointer: string;
}

/** What a value may be; a type that is absent it is not. */
export interface Alternative {
  readonly null?: true;
  readonly boolean?: readonly boolean[];
  readonly number?: NumberShape;
  readonly string?: StringShape;
  readonly array?: ArrayShape;
  readonly object?: ObjectShape;
}

/** A value must match one alternative at least. */
export type Shape = readonly Alternative[];

export const anyNumber: NumberShape = { integer: false, multipleOf: [], excluded: [], notMultipleOf: [] };
export const anyString: StringShape = { least: 0, most: Infinity, patterns: [], excluded: [] };
export const anyArray: ArrayShape = { parts: [], least: 0, most: Infinity, contains: [] };
export const anyObject: ObjectShape = {
  parts: [],
  required: [],
  names: [],
  least: 0,
  most: Infinity,
  pointer: "",
};
export const anyValue: Alternative = {
  null: true,
  boolean: [false, true],
  number: anyNumber,
  string: anyString,
  array: anyArray,
  object: anyObject,
};

/** What is in both; undefined: nothing. */
export function intersection(a: Alternative, b: Alternative): Alternative | undefined {
  const boolean = a.boolean?.filter((value) => b.boolean?.includes(value));
  const both: Alternative = {
    ...(a.null === true && b.null === true ? { null: true } : {}),
    ...(boolean === undefined || boolean.length === 0 ? {} : { boolean }),
    ...(a.number && b.number ? { number: bothNumbers(a.number, b.number) } : {}),
    ...(a.string && b.string ? { string: bothStrings(a.string, b.string) } : {}),
    ...(a.array && b.array ? { array: bothArrays(a.array, b.array) } : {}),
    ...(a.object && b.object ? { object: bothObjects(a.object, b.object) } : {}),
  };
  return Object.keys(both).length === 0 ? undefined : both;
}

const bothNumbers = (a: NumberShape, b: NumberShape): NumberShape => ({
  integer: a.integer || b.integer,
  ...larger("minimum", a, b),
  ...larger("exclusiveMinimum", a, b),
  ...smaller("maximum", a, b),
  ...smaller("exclusiveMaximum", a, b),
  multipleOf: union(a.multipleOf, b.multipleOf),
  excluded: union(a.excluded, b.excluded),
  notMultipleOf: union(a.notMultipleOf, b.notMultipleOf),
  ...values(a.values, b.values),
});

function larger(key: "minimum" | "exclusiveMinimum", a: NumberShape, b: NumberShape): Partial<NumberBounds> {
  const given = [a[key], b[key]].filter((bound) => bound !== undefined);
  return given.length === 0 ? {} : { [key]: Math.max(...given) };
}

function smaller(key: "maximum" | "exclusiveMaximum", a: NumberShape, b: NumberShape): Partial<NumberBounds> {
  const given = [a[key], b[key]].filter((bound) => bound !== undefined);
  return given.length === 0 ? {} : { [key]: Math.min(...given) };
}

const bothStrings = (a: StringShape, b: StringShape): StringShape => ({
  least: Math.max(a.least, b.least),
  most: Math.min(a.most, b.most),
  patterns: [...a.patterns, ...b.patterns],
  excluded: union(a.excluded, b.excluded),
  ...values(a.values, b.values),
});

const bothArrays = (a: ArrayShape, b: ArrayShape): ArrayShape => ({
  parts: union(a.parts, b.parts),
  least: Math.max(a.least, b.least),
  most: Math.min(a.most, b.most),
  contains: union(a.contains, b.contains),
});

const bothObjects = (a: ObjectShape, b: ObjectShape): ObjectShape => ({
  parts: union(a.parts, b.parts),
  required: union(a.required, b.required),
  names: [...a.names, ...b.names],
  least: Math.max(a.least, b.least),
  most: Math.min(a.most, b.most),
  pointer: a.least >= b.least ? a.pointer : b.pointer,
});

function values<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): { values?: readonly T[] } {
  const both = a && b ? a.filter((value) => b.includes(value)) : (a ?? b);
  return both === undefined ? {} : { values: both };
}

const union = <T>(a: readonly T[], b: readonly T[]): readonly T[] => [...new Set([...a, ...b])];
