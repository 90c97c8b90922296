/** The schemas of which a value matches one at least where it does not match another schema. */
import { isJsonObject } from "../../../base/json.ts";
import { madeSchema, memberOf, unsupportedKeyword, type SchemaAt } from "./place.ts";
import type { ReferenceTable } from "./references.ts";
import { anyNumber, anyString, anyValue, type Alternative, type Shape } from "./shape.ts";

/** A value that does not match a schema matches one of `schemas` or is in `shape`. */
export interface Negation {
  readonly schemas: readonly SchemaAt[];
  readonly shape: Shape;
}

const JSON_TYPES = ["null", "boolean", "number", "string", "array", "object"];

/** Keywords that ask for nothing by themselves. */
const SAY_NOTHING: ReadonlySet<string> = new Set([
  "$schema",
  "$id",
  "id",
  "$anchor",
  "$comment",
  "$defs",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
]);

/** @throws ModelComposeError "unsupported" for a keyword whose opposite cannot be said */
export function negationOf(at: SchemaAt, references: ReferenceTable): Negation {
  const { schema, pointer } = at;
  if (typeof schema === "boolean") {
    return { schemas: [], shape: schema ? [] : [anyValue] };
  }
  if (!isJsonObject(schema)) {
    throw unsupportedKeyword(pointer, "not", "it is no schema");
  }
  const schemas: SchemaAt[] = [];
  const shape: Alternative[] = [];
  for (const [keyword, value] of Object.entries(schema)) {
    const add = (made: unknown): void => void schemas.push(madeSchema(made, `${pointer}/${keyword}`));
    switch (keyword) {
      case "type": {
        const types = [value].flat();
        // An integer is a number: those that are none are told by what they are no multiple of.
        const left = JSON_TYPES.filter((type) => !types.includes(type));
        add({ type: left.filter((type) => type !== "number" || !types.includes("integer")) });
        if (types.includes("integer") && !types.includes("number")) {
          shape.push({ number: { ...anyNumber, notMultipleOf: [1] } });
        }
        break;
      }
      case "const":
        add({ allOf: [{ not: { enum: [value] } }] });
        break;
      case "enum": {
        const values = value as unknown[];
        const others = values.filter((each): each is object => typeof each === "object" && each !== null);
        if (others.length === 0) {
          shape.push(allBut(values));
        } else {
          const scalars = values.filter((each) => !others.includes(each as object));
          const but = scalars.length === 0 ? [] : [{ not: { enum: scalars } }];
          add({ allOf: [...but, ...others.map((each) => ({ anyOf: otherThan(each) }))] });
        }
        break;
      }
      case "multipleOf":
        if (!Number.isInteger(value) || (value as number) < 1) {
          throw unsupportedKeyword(pointer, keyword, "only integers are");
        }
        shape.push({ number: { ...anyNumber, notMultipleOf: [value as number] } });
        break;
      case "oneOf": {
        const parts = value as unknown[];
        add({ allOf: parts.map((part) => ({ not: part })) });
        parts.forEach((a, i) => {
          parts.slice(i + 1).forEach((b) => {
            add({ allOf: [a, b] });
          });
        });
        break;
      }
      case "contains":
        add({ type: "array", items: { not: value } });
        break;
      case "items":
        if (Array.isArray(value) || schema.prefixItems !== undefined) {
          throw unsupportedKeyword(pointer, keyword, 'lists of schemas in a "not", an "if" or a "oneOf"');
        }
        add({ type: "array", contains: { not: value } });
        break;
      case "minProperties":
        add(value === 0 ? false : { type: "object", maxProperties: (value as number) - 1 });
        break;
      case "maxProperties":
        add({ type: "object", minProperties: (value as number) + 1 });
        break;
      case "required":
        for (const name of value as string[]) {
          add({ type: "object", properties: { [name]: false } });
        }
        break;
      case "properties":
        for (const name of Object.keys(value as object)) {
          const not = { not: memberOf(at, "properties", name).schema };
          add({ type: "object", required: [name], properties: { [name]: not } });
        }
        break;
      case "pattern":
        shape.push({
          string: { ...anyString, patterns: [{ source: value as string, isWhole: false, isNot: true }] },
        });
        break;
      case "minLength":
        add(value === 0 ? false : { type: "string", maxLength: (value as number) - 1 });
        break;
      case "maxLength":
        add({ type: "string", minLength: (value as number) + 1 });
        break;
      case "minItems":
        add(value === 0 ? false : { type: "array", maxItems: (value as number) - 1 });
        break;
      case "maxItems":
        add({ type: "array", minItems: (value as number) + 1 });
        break;
      case "minimum":
        add({ type: "number", exclusiveMaximum: value });
        break;
      case "maximum":
        add({ type: "number", exclusiveMinimum: value });
        break;
      case "exclusiveMinimum":
        add({ type: "number", maximum: value });
        break;
      case "exclusiveMaximum":
        add({ type: "number", minimum: value });
        break;
      case "not":
        schemas.push(memberOf(at, "not"));
        break;
      case "allOf":
        for (const part of value as unknown[]) {
          add({ not: part });
        }
        break;
      case "anyOf":
        add({ allOf: (value as unknown[]).map((part) => ({ not: part })) });
        break;
      case "$ref":
        add({ not: references.resolve(pointer, value).schema });
        break;
      default:
        if (!SAY_NOTHING.has(keyword)) {
          throw unsupportedKeyword(
            pointer,
            keyword,
            'it stands in a "not", an "if", or a "oneOf" that overlaps',
          );
        }
    }
  }
  return { schemas, shape };
}

/** Schemas of which one matches wherever a value is another than this list or object. */
function otherThan(value: object): unknown[] {
  if (Array.isArray(value)) {
    return [
      { type: JSON_TYPES.filter((type) => type !== "array") },
      { type: "array", minItems: value.length + 1 },
      ...(value.length === 0 ? [] : [{ type: "array", maxItems: value.length - 1 }]),
      ...value.map((item: unknown, i) => ({
        type: "array",
        prefixItems: [...value.slice(0, i).map(() => true), { not: { enum: [item] } }],
        minItems: i + 1,
      })),
    ];
  }
  const names = Object.keys(value);
  return [
    { type: JSON_TYPES.filter((type) => type !== "object") },
    { type: "object", required: names, minProperties: names.length + 1 },
    ...Object.entries(value).flatMap(([name, item]) => [
      { type: "object", properties: { [name]: false } },
      { type: "object", required: [name], properties: { [name]: { not: { enum: [item as unknown] } } } },
    ]),
  ];
}

/** All values but some scalars. */
function allBut(values: readonly unknown[]): Alternative {
  const strings = values.filter((value) => typeof value === "string");
  const numbers = values.filter((value) => typeof value === "number");
  const booleans = [false, true].filter((value) => !values.includes(value));
  const { array, object } = anyValue;
  return {
    array,
    object,
    ...(values.includes(null) ? {} : { null: true }),
    ...(booleans.length === 0 ? {} : { boolean: booleans }),
    string: { ...anyString, excluded: strings },
    number: { ...anyNumber, excluded: numbers },
  };
}
