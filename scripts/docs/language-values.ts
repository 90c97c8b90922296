/** The kinds of values that a compose file has: how the reference names them, and their JSON Schema (draft-07) for editors. */
import { z } from "zod";
import {
  generationParameters,
  type GenerationParameterName,
} from "../../src/compose/definition/parameters.ts";

/** A JSON Schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What may stand behind a key. */
export interface Value {
  /** The kind in words, as Markdown. */
  readonly text: string;
  readonly schema: JsonSchema;
}

/** A variable of the environment, which may stand where the program wants a value at load. */
const variable: JsonSchema = { type: "string", pattern: "\\$\\{env\\." };
/** A placeholder, whose value is known when a workflow runs. */
const placeholder: JsonSchema = { type: "string", pattern: "\\$\\{" };

const orVariable = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, variable] });
const code = (name: string): string => `\`${name}\``;

/** A text that is read when the file is loaded: of placeholders it has those of the environment alone. */
const literalText: JsonSchema = { type: "string", not: { pattern: "(^|[^$\\\\])\\$\\{(?!env\\.)" } };

export const text: Value = { text: "text", schema: literalText };
/** A text of at least one character that is no space. */
export const name: Value = { text: "text", schema: { ...literalText, pattern: "\\S" } };
/** A text for people: whatever YAML makes of it. */
export const freeText: Value = { text: "text", schema: { type: ["string", "number", "boolean"] } };
export const flag: Value = { text: "`true` or `false`", schema: orVariable({ type: "boolean" }) };
/** A value of any kind, with or without placeholders. */
export const template: Value = { text: "any value, with placeholders", schema: {} };
export const textTemplate: Value = { text: "text with placeholders", schema: { type: "string" } };
export const templates: Value = {
  text: "mapping of values with placeholders",
  schema: { type: "object" },
};
export const headerTemplates: Value = {
  text: "mapping of texts with placeholders",
  schema: { type: "object", additionalProperties: { type: ["string", "number", "boolean"] } },
};

const duration: JsonSchema = {
  anyOf: [
    { type: "number", minimum: 0 },
    { type: "string", pattern: "^\\s*[+]?[\\d.]+([eE][+-]?\\d+)?(ms|s|m|h|d)?\\s*$" },
  ],
};
export const durationValue: Value = {
  text: "seconds, or a text such as `500ms`, `5s`, `2m`, `1h`",
  schema: orVariable(duration),
};
export const durationTemplate: Value = {
  text: `${durationValue.text}; or a placeholder`,
  schema: { anyOf: [duration, placeholder] },
};
export const size: Value = {
  text: "bytes, or a text such as `500KB`, `1MB`",
  schema: orVariable({
    anyOf: [
      { type: "integer", minimum: 1 },
      { type: "string", pattern: "^\\s*(\\d+|(\\d+\\.?\\d*|\\.\\d+)\\s*([KMGTkmgt][Ii]?)?[Bb])\\s*$" },
    ],
  }),
};

export function integer(min: number, max?: number): Value {
  return {
    text: max === undefined ? `integer >= ${min}` : `integer in ${min} .. ${max}`,
    schema: orVariable({ type: "integer", minimum: min, ...(max === undefined ? {} : { maximum: max }) }),
  };
}

/** A count that may come from the input of a run. */
export const countTemplate: Value = {
  text: "integer >= 1, or a placeholder",
  schema: { anyOf: [{ type: "integer", minimum: 1 }, placeholder] },
};

export function oneOf(...names: readonly string[]): Value {
  return { text: names.map(code).join(", "), schema: orVariable({ enum: names }) };
}

/** One of some names that decide what other keys may stand beside it; editors want it written out. */
export function kind(...names: readonly string[]): Value {
  return { text: names.map(code).join(", "), schema: { enum: names } };
}

export function pattern(words: string, regex: string): Value {
  return { text: words, schema: { type: "string", pattern: `${regex}|\\$\\{env\\.` } };
}

/** A part of the language that has a table of its own, by its name there. */
export function part(name: string, title: string): Value {
  return { text: `[${title}](#${name})`, schema: { $ref: `#/definitions/${name}` } };
}

export function listOf(value: Value, words: string): Value {
  return { text: words, schema: { type: "array", minItems: 1, items: value.schema } };
}

export function either(words: string, ...values: readonly Value[]): Value {
  return { text: words, schema: { anyOf: values.map(({ schema }) => schema) } };
}

/** How the texts look that the program reads as values of a type. */
const TEXTS: Readonly<Record<string, string>> = {
  integer: "[+-]?\\d+(\\.0*)?([eE]\\+?\\d+)?",
  number: "[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?",
  boolean: "([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])",
};

/** A parameter of generation, in the range that the program checks; numbers and truth may be written as texts. */
export function parameter(name: GenerationParameterName): Value {
  const json = z.toJSONSchema(generationParameters[name], { target: "draft-7", io: "input" });
  // The range in words is the value's text, and a part of a schema has no dialect of its own.
  const isOwn = ([key]: [string, unknown]): boolean => !["$schema", "description"].includes(key);
  const schema: JsonSchema = Object.fromEntries(Object.entries(json).filter(isOwn));
  const { type } = json;
  const written =
    (typeof type === "string" ? TEXTS[type] : undefined) ??
    (name === "early_stopping" ? TEXTS["boolean"] : undefined);
  const asText = written === undefined ? [] : [{ type: "string", pattern: `^\\s*${written}\\s*$` }];
  return {
    text: (json.description ?? "").replaceAll(/"(\w+)"/g, "`$1`"),
    schema: { anyOf: [schema, ...asText, placeholder] },
  };
}
