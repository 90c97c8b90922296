/** Reads calls of tools as models write them: each in tags, or an answer that is nothing but calls. */
import { isJsonObject } from "../../base/json.ts";
import type { ToolCall } from "./messages.ts";

/** Reads `{"name": …, "arguments": {…}}`; models also write "parameters", and arguments as a JSON text. */
export function readToolCall(text: string): ToolCall | undefined {
  return toolCallOf(parseJson(text));
}

/**
 * What may stand before calls that are a whole answer, and behind them: of Mistral, Granite, Phi-4-mini, Llama 3. Most of these
 * are special tokens, which texts do not have.
 */
export const BARE_OPENINGS = ["[TOOL_CALLS]", "<|tool_call|>", "<|python_tag|>", "functools"];
const CLOSINGS = ["<|/tool_call|>"];

/** The keys of calls as they are written: one of them comes first. */
export const CALL_KEYS = ["name", "arguments", "parameters", "type", "function", "id"].map(
  (key) => `"${key}"`,
);

/** The first key of the first call comes within so many characters. */
const LONGEST_BEGINNING = 100;

/** Whether the beginning of a text is that of calls without tags, or may become it. */
export function beginsLikeCalls(text: string): "yes" | "no" | "maybe" {
  const likeness = likenessOf(text.slice(0, LONGEST_BEGINNING));
  return likeness === "maybe" && text.length >= LONGEST_BEGINNING ? "no" : likeness;
}

function likenessOf(text: string): "yes" | "no" | "maybe" {
  let rest = text.trimStart();
  const opening = BARE_OPENINGS.find((each) => rest.startsWith(each));
  if (opening === undefined && BARE_OPENINGS.some((each) => each.startsWith(rest))) {
    return "maybe";
  }
  rest = rest.slice(opening?.length ?? 0).trimStart();
  if (rest.startsWith("[")) {
    rest = rest.slice(1).trimStart();
  }
  if (rest === "") {
    return "maybe";
  }
  if (!rest.startsWith("{")) {
    return "no";
  }
  const key = rest.slice(1).trimStart();
  if (CALL_KEYS.some((each) => key.startsWith(each))) {
    return "yes";
  }
  return CALL_KEYS.some((each) => each.startsWith(key)) ? "maybe" : "no";
}

/**
 * The calls that a text is, one or a list; undefined where it is anything else, or calls what there is not.
 *
 * @param names those of the tools that there are
 */
export function readBareCalls(text: string, names: ReadonlySet<string>): readonly ToolCall[] | undefined {
  let body = text.trim();
  body = body.slice(BARE_OPENINGS.find((each) => body.startsWith(each))?.length ?? 0);
  body = body.slice(0, body.length - (CLOSINGS.find((each) => body.endsWith(each))?.length ?? 0));
  const value = parseJson(body);
  const calls = (Array.isArray(value) ? value : [value]).map(toolCallOf);
  const known = calls.filter((call) => call !== undefined && names.has(call.name));
  return known.length > 0 && known.length === calls.length ? (known as ToolCall[]) : undefined;
}

function toolCallOf(value: unknown): ToolCall | undefined {
  const call = isJsonObject(value) && isJsonObject(value.function) ? value.function : value;
  if (!isJsonObject(call) || typeof call.name !== "string" || call.name === "") {
    return undefined;
  }
  const given = call.arguments ?? call.parameters ?? {};
  const parsed = typeof given === "string" ? parseJson(given) : given;
  return isJsonObject(parsed) ? { name: call.name, arguments: parsed } : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
