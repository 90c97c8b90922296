/**
 * What is repeated of an outside API's error: its own words, and nothing of what it was sent. An API may echo the request, keys
 * and the user's text in it, to whoever reads the message.
 */
import type { IncomingMessage } from "node:http";
import { clip } from "../../../base/clip.ts";
import { patternOf } from "../../../base/secrets.ts";

/** The most bytes of an error that are read, and characters that are shown. */
const MOST_READ = 64 * 1024;
const MOST_SHOWN = 300;
/** A piece of what was sent is known from so many characters on, wherever it begins. */
const PIECE = 12;
/** Names of the fields in which APIs say what is wrong, the most telling first. */
const FIELDS = ["message", "detail", "error_description", "error", "title", "reason"];

/** What of a request may come back. */
interface SentRequest {
  readonly url: URL;
  readonly headers: ReadonlyMap<string, string>;
  readonly body?: string;
}

/** What an error says. */
export interface Excerpt {
  /** The text of the answer's own error field; absent where it has none. */
  readonly field: string | undefined;
  /** The beginning of the answer, for those who look for the cause. */
  readonly rest: string;
}

/** Reads an error's body. */
export async function excerpt(message: IncomingMessage, request: SentRequest): Promise<Excerpt> {
  let text = "";
  message.setEncoding("utf8");
  for await (const chunk of message as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MOST_READ) {
      break;
    }
  }
  message.destroy();
  const sent = sentTexts(request);
  const shown = (foreign: string): string => withoutSent(clip(foreign, 2 * MOST_SHOWN), sent);
  const field = errorField(text);
  return {
    field: field === undefined ? undefined : line(shown(field)),
    rest: line(shown(text)),
  };
}

function line(text: string): string {
  return clip(text.replace(/\s+/g, " ").trim(), MOST_SHOWN);
}

function errorField(text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  // `{"error": {"message": "…"}}`, `{"message": "…"}`, `{"detail": [{"msg": "…"}]}`: the first text of such a name.
  for (let level = 0; level < 3; level++) {
    if (Array.isArray(value)) {
      [value] = value as unknown[];
    }
    if (typeof value !== "object" || value === null) {
      return undefined;
    }
    const fields = value as Readonly<Record<string, unknown>>;
    const found = [...FIELDS, "msg"].map((name) => fields[name]).filter((entry) => entry !== undefined);
    const said = found.find((entry) => typeof entry === "string" && entry.trim() !== "");
    if (typeof said === "string") {
      return said;
    }
    [value] = found;
  }
  return undefined;
}

/** All texts that a request sends: values of headers and parameters, user and password, the path, the body and what is in it. */
function sentTexts({ url, headers, body }: SentRequest): Set<string> {
  const texts = new Set<string>();
  const add = (text: string): void => {
    const trimmed = text.trim();
    if (trimmed.length > 1) {
      texts.add(trimmed);
    }
  };
  for (const value of headers.values()) {
    add(value);
    add(value.replace(/^\w+ +/, ""));
  }
  for (const value of url.searchParams.values()) {
    add(value);
    add(encodeURIComponent(value));
    add(new URLSearchParams([["", value]]).toString().slice(1));
  }
  add(decoded(url.username));
  add(decoded(url.password));
  if (body !== undefined) {
    addBody(body, add);
  }
  return texts;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function addBody(body: string, add: (text: string) => void): void {
  add(body);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return;
  }
  const rest = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next === "string") {
      add(next);
    } else if (typeof next === "object" && next !== null) {
      rest.push(...(Object.values(next) as unknown[]));
    }
  }
}

/** A text without the texts that were sent, and without long pieces of them. */
function withoutSent(text: string, sent: ReadonlySet<string>): string {
  if (sent.size === 0) {
    return text;
  }
  // Only what the text can hold is looked for, and each in one walk.
  const whole = [...sent].filter((one) => one.length <= text.length && text.includes(one));
  const result = whole.length === 0 ? text : text.replace(patternOf(whole), "…");
  const all = [...sent].filter((one) => one.length > PIECE).join("\n");
  let shown = "";
  let at = 0;
  while (at < result.length) {
    if (!all.includes(result.slice(at, at + PIECE)) || at + PIECE > result.length) {
      shown += result[at++];
      continue;
    }
    let end = at + PIECE;
    while (end < result.length && all.includes(result.slice(end - PIECE + 1, end + 1))) {
      end++;
    }
    shown += "…";
    at = end;
  }
  return shown;
}
