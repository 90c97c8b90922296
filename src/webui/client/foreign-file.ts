/** Checks files that come from elsewhere: what is wrong in them is said with its place. */
import * as z from "zod/mini";
import english from "zod/v4/locales/en.js";

// The page's policy forbids code that is made of text, which zod would try.
z.config({ ...english(), jitless: true });

/** The error for a file that is not what it should be; the message is for people. */
export class ForeignFileError extends Error {
  override readonly name = "ForeignFileError";
}

/**
 * Reads the text of a file as a value of a schema.
 *
 * @param what what the file should be, for the message: "a conversation"
 * @throws ForeignFileError
 */
export function parseForeign<T>(text: string, what: string, schema: z.ZodMiniType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ForeignFileError(`The file is not ${what}: it is no JSON.`);
  }
  const parsed = z.safeParse(schema, value);
  if (parsed.success) {
    return parsed.data;
  }
  const [issue] = parsed.error.issues;
  const place = placeOf(issue?.path ?? []);
  throw new ForeignFileError(
    `The file is not ${what}: ${place === "" ? "" : `${place}: `}${issue?.message ?? "it has another form"}.`,
  );
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((step, i) => (typeof step === "number" ? `[${step}]` : `${i > 0 ? "." : ""}${String(step)}`))
    .join("");
}
