/** Reads the bodies of requests of other APIs, and says which field is at fault. */
import { z } from "zod";
import { nearestName } from "../../base/nearest-name.ts";
import { generationParameters } from "../../compose/definition/parameters.ts";
import { HttpError } from "../http-error.ts";
import type { Setting } from "./ask.ts";

/** A field that is known and refused, whatever its value. */
export const refused = (why: string): z.ZodOptional<z.ZodNever> => z.never({ error: why }).optional();

/** A field that only may have the value which changes nothing. */
export const only = <Value extends string | number | boolean>(
  value: Value,
  why: string,
): z.ZodOptional<z.ZodLiteral<Value>> => z.literal(value, { error: why }).optional();

/** A field that changes nothing, whatever its value. */
export const ignored = z.unknown().describe("Accepted; it changes nothing here.").optional();

/** The parameters of generation as all APIs spell them. */
export const samplingFields = {
  temperature: generationParameters.temperature.optional(),
  top_p: generationParameters.top_p.optional(),
  top_k: generationParameters.top_k.optional(),
} as const;

/**
 * Checks a body. Fields that are null count as left out.
 *
 * @throws HttpError 400 naming the first field that is wrong
 */
export function checkBody<Schema extends z.ZodObject>(
  schema: Schema,
  body: Readonly<Record<string, unknown>>,
): z.infer<Schema> {
  return checkValue(schema, withoutNulls(body), "");
}

/**
 * Checks a value that stands at a place of a body; "" is the body itself.
 *
 * @throws HttpError 400 naming the first field that is wrong
 */
export function checkValue<Schema extends z.ZodObject>(
  schema: Schema,
  given: unknown,
  place: string,
): z.infer<Schema> {
  const parsed = schema.safeParse(given);
  if (parsed.success) {
    return parsed.data;
  }
  const nameOf = (path: readonly PropertyKey[]): string => {
    const name = fieldName(path);
    return place === "" || name === "" ? place + name : `${place}.${name}`;
  };
  const issue = parsed.error.issues[0];
  if (issue === undefined) {
    throw new Error("a body was refused without an issue");
  }
  if (issue.code === "unrecognized_keys") {
    const field = nameOf([...issue.path, issue.keys[0] ?? ""]);
    const near = issue.path.length > 0 ? undefined : nearestName(field, Object.keys(schema.shape));
    const remedy = near === undefined ? "Leave it out." : `Did you mean "${near}"?`;
    throw new HttpError(400, `The field "${field}" is not known here. ${remedy}`, { field });
  }
  const field = nameOf(issue.path);
  const isMissing = valueAt(given, issue.path) === undefined;
  const why = isMissing ? "it is missing" : issue.message.replace(/\.$/, "");
  throw new HttpError(400, `The field "${field}" is wrong: ${why}.`, { field });
}

/** An object without those of its fields that are null. */
export function withoutNulls(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null));
}

/** The name of a place in a body: `messages[0].content`. */
export function fieldName(path: readonly PropertyKey[]): string {
  return path
    .map((segment, i) =>
      typeof segment === "number" ? `[${segment}]` : `${i === 0 ? "" : "."}${String(segment)}`,
    )
    .join("");
}

/** The settings that fields of a request make, without those that are left out. */
export function settingsOf(
  request: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, Setting["parameter"]>>,
): Setting[] {
  return Object.entries(fields).flatMap(([field, parameter]) =>
    request[field] === undefined ? [] : [{ field, parameter, value: request[field] }],
  );
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, segment) =>
      typeof at === "object" && at !== null ? (at as Record<PropertyKey, unknown>)[segment] : undefined,
    value,
  );
}
