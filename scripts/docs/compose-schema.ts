/** The JSON Schema (draft-07, which editors read) of compose files. */
import { MAPPINGS, spellings, type Key, type Part } from "./compose-language.ts";
import type { JsonSchema } from "./language-values.ts";

/** Where it is, in the repository and in the package. */
export const SCHEMA_FILE = "docs/model-compose.schema.json";

/** The schema as a JSON value. */
export function composeSchema(): JsonSchema {
  const definitions = Object.fromEntries(MAPPINGS.map((part) => [part.name, mapping(part)]));
  const { file, ...others } = definitions;
  // Parameters stand in many places: each is written out once.
  const parameters = MAPPINGS.flatMap(({ keys }) => keys.filter(isParameter)).map(
    (key) => [referenceOf(key), own(key, key.value.schema)] as const,
  );
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "model-compose.yml",
    ...file,
    definitions: { ...others, ...Object.fromEntries(parameters) },
  };
}

function mapping({ keys, withoutEffect = [], rules = {}, about }: Part): JsonSchema {
  const required = keys.filter((key) => key.required === true && spellings(key).length === 1);
  const choices = keys.map(spellings).flatMap(pairs);
  const { allOf = [], ...others } = rules as { allOf?: readonly JsonSchema[] };
  const all = [...choices.map((pair) => ({ not: { required: pair } })), ...allOf];
  return {
    type: "object",
    ...(about === "" ? {} : { description: plain(about) }),
    properties: Object.fromEntries([
      ...keys.flatMap(properties),
      ...withoutEffect.map((name) => [
        name,
        { description: "Accepted; it configures Python and changes nothing here." },
      ]),
    ]),
    ...(required.length === 0 ? {} : { required: required.map(({ name }) => name) }),
    additionalProperties: false,
    ...(all.length === 0 ? {} : { allOf: all }),
    ...others,
  };
}

function properties(key: Key): [string, JsonSchema][] {
  const { value, plural } = key;
  const schema = isParameter(key) ? { $ref: `#/definitions/${referenceOf(key)}` } : own(key, value.schema);
  return spellings(key).map((name) => [
    name,
    name === plural ? own(key, { type: "array", items: value.schema }) : schema,
  ]);
}

/** A schema with the meaning of its key. Beside $ref, draft-07 reads nothing: the reference gets a place of its own. */
function own({ meaning }: Key, schema: JsonSchema): JsonSchema {
  const description = meaning === "" ? {} : { description: plain(meaning) };
  return "$ref" in schema ? { ...description, allOf: [schema] } : { ...description, ...schema };
}

const isParameter = ({ isParameter: is }: Key): boolean => is === true;
const referenceOf = ({ name }: Key): string => `parameter-${name}`;

/** Every two of some names. */
function pairs(names: readonly string[]): string[][] {
  return names.flatMap((name, i) => names.slice(i + 1).map((other) => [name, other]));
}

/** Markdown without its marks, for the hints of editors. */
function plain(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1").replaceAll("`", "");
}
