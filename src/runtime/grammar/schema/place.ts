import { ModelComposeError } from "../../../base/errors.ts";
import { clip } from "../../../base/clip.ts";
import { describeJson } from "../../../base/json.ts";

/** A schema and where it stands. */
export interface SchemaAt {
  readonly schema: unknown;
  /** A JSON pointer, perhaps with what was made of the schema there; equal ones mean equal schemas. */
  readonly pointer: string;
}

/** The schema at a member of a schema. */
export const memberOf = ({ schema, pointer }: SchemaAt, ...keys: readonly (string | number)[]): SchemaAt =>
  keys.reduce<SchemaAt>(
    (at, key) => ({
      schema: (at.schema as Readonly<Record<string, unknown>>)[key],
      pointer: `${at.pointer}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`,
    }),
    { schema, pointer },
  );

const shown = (pointer: string): string => (pointer === "" ? "the root" : `"${clip(pointer)}"`);

/** A keyword that is known and not enforced. */
export const unsupportedKeyword = (pointer: string, keyword: string, why: string): ModelComposeError =>
  new ModelComposeError(
    "unsupported",
    `The JSON schema has "${keyword}" at ${shown(pointer)}, which cannot be enforced: ${why}.`,
    { remedy: "Leave it out and check the answer yourself, or write the schema without it.", parameter: "jsonSchema" },
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
