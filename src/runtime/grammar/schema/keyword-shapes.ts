/** What single keywords ask for, as shapes. */
import { isJsonObject } from "../../../base/json.ts";
import { madeSchema, memberOf, wrongKeyword, type SchemaAt } from "./place.ts";
import {
  anyArray,
  anyNumber,
  anyObject,
  anyString,
  anyValue,
  intersection,
  type Alternative,
  type PropertiesPart,
  type Shape,
} from "./shape.ts";

/** Whether it shows at once that two shapes have no value in common. */
export function areApart(a: Shape, b: Shape): boolean {
  return a.every((one) =>
    b.every((other) => {
      const both = intersection(one, other);
      if (both === undefined) {
        return true;
      }
      const { number, string, ...rest } = both;
      return Object.keys(rest).length === 0 && isVoid(number) && isVoid(string);
    }),
  );
}

const isVoid = (shape: { values?: readonly unknown[] } | undefined): boolean =>
  shape === undefined || shape.values?.length === 0;

/** Any value; a number that is one of these. */
export const withNumber = (given: Partial<typeof anyNumber>): Shape => [
  { ...anyValue, number: { ...anyNumber, ...given } },
];
export const withString = (given: Partial<typeof anyString>): Shape => [
  { ...anyValue, string: { ...anyString, ...given } },
];
export const withArray = (given: Partial<typeof anyArray>): Shape => [
  { ...anyValue, array: { ...anyArray, ...given } },
];
export const withObject = (given: Partial<typeof anyObject>): Shape => [
  { ...anyValue, object: { ...anyObject, ...given } },
];

/** @throws ModelComposeError "invalid-argument" for another value of a keyword */
export function numberOf({ pointer }: SchemaAt, keyword: string, value: unknown): number {
  if (typeof value !== "number") {
    throw wrongKeyword(pointer, keyword, "a number", value);
  }
  return value;
}

/** @throws ModelComposeError "invalid-argument" for another value of a keyword */
export function countOf({ pointer }: SchemaAt, keyword: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw wrongKeyword(pointer, keyword, "an integer >= 0", value);
  }
  return value;
}

const TYPES: Readonly<Record<string, Alternative>> = {
  null: { null: true },
  boolean: { boolean: [false, true] },
  number: { number: anyNumber },
  integer: { number: { ...anyNumber, integer: true } },
  string: { string: anyString },
  array: { array: anyArray },
  object: { object: anyObject },
};

/** @throws ModelComposeError "invalid-argument" for what is no type */
export function typeShape({ pointer }: SchemaAt, value: unknown): Shape {
  const names = [value].flat();
  const alternatives = names.map((name) =>
    typeof name === "string" && Object.hasOwn(TYPES, name) ? TYPES[name] : undefined,
  );
  if (alternatives.includes(undefined) || names.length === 0) {
    throw wrongKeyword(pointer, "type", `one of ${Object.keys(TYPES).join(", ")}, or a list of them`, value);
  }
  const all = Object.assign({}, ...alternatives) as Alternative;
  return [names.includes("number") ? { ...all, number: anyNumber } : all];
}

/** A value of which there is one alone, as a schema would say it. */
export function constantShape(value: unknown, pointer: string): Alternative {
  if (value === null) {
    return { null: true };
  }
  if (typeof value === "boolean") {
    return { boolean: [value] };
  }
  if (typeof value === "number") {
    return { number: { ...anyNumber, values: [value] } };
  }
  if (typeof value === "string") {
    return { string: { ...anyString, values: [value] } };
  }
  if (Array.isArray(value)) {
    const prefix = value.map((item, i) => madeSchema({ const: item as unknown }, `${pointer}/${i}`));
    const rest = madeSchema(false, pointer);
    return { array: { ...anyArray, parts: [{ prefix, rest }], least: value.length, most: value.length } };
  }
  const entries = Object.entries(value as object);
  const named = new Map(
    entries.map(([name, item]) => [name, madeSchema({ const: item as unknown }, `${pointer}/${name}`)]),
  );
  const additional = madeSchema(false, pointer);
  return {
    object: {
      ...anyObject,
      parts: [{ named, patterns: [], additional }],
      required: entries.map(([name]) => name),
    },
  };
}

/** One of several values: scalars of a type are one alternative. */
export function enumShape(values: readonly unknown[], pointer: string): Shape {
  const ofType = <T>(type: string): T[] => values.filter((value) => typeof value === type) as T[];
  const scalars: Alternative = {
    ...(values.includes(null) ? { null: true } : {}),
    ...(values.some((value) => typeof value === "boolean") ? { boolean: ofType<boolean>("boolean") } : {}),
    ...(values.some((value) => typeof value === "number")
      ? { number: { ...anyNumber, values: ofType<number>("number") } }
      : {}),
    ...(values.some((value) => typeof value === "string")
      ? { string: { ...anyString, values: ofType<string>("string") } }
      : {}),
  };
  const others = values.flatMap((value, i) =>
    typeof value === "object" && value !== null ? [constantShape(value, `${pointer}/${i}`)] : [],
  );
  return Object.keys(scalars).length === 0 ? others : [scalars, ...others];
}

/** `items` may be a list, which newer drafts call `prefixItems`; then `additionalItems` are the others. */
export function itemsShape(at: SchemaAt, all: Readonly<Record<string, unknown>>): Shape {
  const old = Array.isArray(all.items) ? "items" : undefined;
  const prefixKey = all.prefixItems === undefined ? old : "prefixItems";
  const list = prefixKey === undefined ? [] : all[prefixKey];
  if (!Array.isArray(list)) {
    throw wrongKeyword(at.pointer, "prefixItems", "a list of schemas", list);
  }
  const prefix = list.map((_, i) => memberOf(at, prefixKey ?? "", i));
  const restKey = old === undefined ? "items" : "additionalItems";
  const rest = all[restKey] === undefined ? undefined : memberOf(at, restKey);
  return withArray({ parts: [{ prefix, rest }] });
}

/** What three keywords say of properties together. @throws ModelComposeError "invalid-argument" */
export function propertiesShape(at: SchemaAt, all: Readonly<Record<string, unknown>>): Shape {
  const { properties = {}, patternProperties = {} } = all;
  for (const [keyword, value] of Object.entries({ properties, patternProperties })) {
    if (!isJsonObject(value)) {
      throw wrongKeyword(at.pointer, keyword, "an object of schemas", value);
    }
  }
  const part: PropertiesPart = {
    named: new Map(Object.keys(properties as object).map((name) => [name, memberOf(at, "properties", name)])),
    patterns: Object.keys(patternProperties as object).map((source) => ({
      source,
      at: memberOf(at, "patternProperties", source),
    })),
    additional: all.additionalProperties === undefined ? undefined : memberOf(at, "additionalProperties"),
  };
  return withObject({ parts: [part] });
}
