import { ModelComposeError } from "../../../base/errors.ts";
import { clip } from "../../../base/clip.ts";
import { describeJson } from "../../../base/json.ts";

/** A schema and where it stands. */
export interface SchemaAt {
  readonly schema: unknown;
  /** A JSON pointer, perhaps with what was made of the schema there. */
  readonly pointer: string;
  /** What is equal for equal schemas only; absent: the pointer is. */
  readonly key?: string;
}

export const keyOf = ({ key, pointer }: SchemaAt): string => key ?? pointer;

/** A schema that was made of others; it may hold references, which are the document's. */
export const madeSchema = (schema: unknown, pointer: string): SchemaAt => ({
  schema,
  pointer,
  key: `made ${JSON.stringify(schema)}`,
});

/** The schema at a member of a schema. */
export const memberOf = (from: SchemaAt, ...names: readonly (string | number)[]): SchemaAt =>
  names.reduce<SchemaAt>((at, name) => {
    const schema = (at.schema as Readonly<Record<string, unknown>>)[name];
    const pointer = `${at.pointer}/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return at.key === undefined ? { schema, pointer } : madeSchema(schema, pointer);
  }, from);

const shown = (pointer: string): string => (pointer === "" ? "the root" : `"#${clip(pointer)}"`);

/** A keyword that is known and not enforced. */
export const unsupportedKeyword = (pointer: string, keyword: string, why: string): ModelComposeError =>
  new ModelComposeError(
    "unsupported",
    `The JSON schema has "${keyword}" at ${shown(pointer)}, which cannot be enforced: ${why}.`,
    {
      remedy: "Leave it out and check the answer yourself, or write the schema without it.",
      parameter: "jsonSchema",
    },
  );

/** A keyword whose value is none that JSON Schema allows. */
export const wrongKeyword = (
  pointer: string,
  keyword: string,
  expected: string,
  found: unknown,
): ModelComposeError =>
  new ModelComposeError(
    "invalid-argument",
    `The JSON schema is wrong: "${keyword}" at ${shown(pointer)} must be ${expected}; found ${describeJson(found)}.`,
    { remedy: "Correct it.", parameter: "jsonSchema" },
  );
