import type { z } from "zod";
import { errorMessage } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import { bodyFromForm } from "./form-fields.ts";
import { HttpError } from "./http-error.ts";
import type { Holding, KeptBytes } from "./kept-bytes.ts";
import { runRequest, type RunRequest } from "./schemas.ts";

/**
 * Reads the body of a request that starts a run: JSON, or a form in either encoding.
 *
 * @throws HttpError 400 for what cannot be read, 413 for more than `maxBytes`, 422 naming the field; NoRoomError
 */
export async function readRunRequest(
  request: Request,
  maxBytes: number,
  kept: KeptBytes,
): Promise<RunRequest> {
  const example = '{"input": {"prompt": "Once upon a time"}}';
  return checked(runRequest, await readObject(request, { maxBytes, kept, example }));
}

/**
 * Reads a body that is an object, of JSON or a form in either encoding.
 *
 * @param options.example a body that can be used, for the message about one that cannot
 * @throws HttpError 400 for what cannot be read, 413 for more than `maxBytes`, 422 for what is no object or nested too
 *   deep; NoRoomError
 */
export async function readObject(
  request: Request,
  { maxBytes, kept, example }: { maxBytes: number; kept: KeptBytes; example: string },
): Promise<Readonly<Record<string, unknown>>> {
  const holding = kept.hold(0);
  try {
    const body = await readBody(request, { maxBytes, holding });
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      throw new HttpError(422, `The body must be an object, as ${example}.`);
    }
    requireDepth(body);
    return body as Record<string, unknown>;
  } finally {
    holding.release();
  }
}

/** Reads the parameters of a request's query. @throws HttpError 422 naming the parameter */
export function readQuery<T>(schema: z.ZodType<T>, query: Readonly<Record<string, string>>): T {
  return checked(schema, query);
}

/** The most levels of a body: templates and JSON walk through values by recursion. */
const deepest = 200;

function requireDepth(value: unknown, depth = 0): void {
  if (typeof value !== "object" || value === null) {
    return;
  }
  if (depth >= deepest) {
    throw new HttpError(422, `The body is nested deeper than ${deepest} levels.`, { field: "input" });
  }
  for (const entry of Object.values(value)) {
    requireDepth(entry, depth + 1);
  }
}

/** How much of a body is read. */
interface ReadLimits {
  readonly maxBytes: number;
  /** What is held of the server's memory meanwhile. */
  readonly holding: Holding;
}

/** A body's bytes are there up to three times while it is read: in pieces, whole, and as text. */
const COPIES = 3;

async function readBody(request: Request, limits: ReadLimits): Promise<unknown> {
  const header = request.headers.get("content-type") ?? "";
  const type = (header.split(";")[0] ?? "").trim().toLowerCase();
  switch (type) {
    case "":
      throw new HttpError(400, "Missing or empty Content-Type header.");
    case "application/json":
      return parseJson(await readText(request, limits));
    case "application/x-www-form-urlencoded": {
      // This is what curl -d says of any body.
      const text = await readText(request, limits);
      return text.trimStart().startsWith("{") ? jsonFromForm(text) : bodyFromForm(new URLSearchParams(text));
    }
    case "multipart/form-data":
      return bodyFromForm(await readMultipart(header, await readBytes(request, limits)));
    default:
      throw new HttpError(400, `Unsupported Content-Type: ${type}`);
  }
}

/** A body that is plainly JSON, though its header says otherwise. @throws HttpError 400 for what only begins so */
function jsonFromForm(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new HttpError(
      400,
      `The body begins like JSON, is none (${errorMessage(error)}), and its Content-Type says it is a form. ` +
        "Send JSON with Content-Type: application/json.",
    );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new HttpError(400, `Invalid request body: ${errorMessage(error)}`);
  }
}

/** Reads at most `maxBytes`, whatever the request says of its size. @throws HttpError 413, NoRoomError */
async function readBytes(request: Request, { maxBytes, holding }: ReadLimits): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > maxBytes) {
      throw new HttpError(
        413,
        `The body is larger than ${maxBytes} bytes, which controller.max_body_size allows.`,
      );
    }
    holding.set(COPIES * size);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function readText(request: Request, limits: ReadLimits): Promise<string> {
  const bytes = await readBytes(request, limits);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new HttpError(400, "Invalid request body: it is not UTF-8.");
  }
}

async function readMultipart(contentType: string, bytes: Buffer): Promise<FormData> {
  try {
    return await new Response(bytes, { headers: { "content-type": contentType } }).formData();
  } catch (error) {
    throw new HttpError(400, `Invalid request body: ${errorMessage(error)}`);
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    return parsed.data;
  }
  const issue = parsed.error.issues[0];
  if (issue?.code === "unrecognized_keys") {
    throw unknownField(issue.keys[0] ?? "");
  }
  const field = issue?.path.join(".");
  throw new HttpError(422, `The field "${field ?? ""}" is wrong: ${issue?.message ?? "unknown"}.`, { field });
}

function unknownField(field: string): HttpError {
  const near = nearestName(field, Object.keys(runRequest.shape));
  const remedy =
    near === undefined ? 'What the workflow takes stands in "input".' : `Did you mean "${near}"?`;
  return new HttpError(422, `The body has an unknown field "${field}". ${remedy}`, { field });
}
