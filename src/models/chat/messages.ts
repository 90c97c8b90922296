/** The types that a conversation consists of, and a check of whether a value is one. */
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";

/** A message of a conversation. Templates see every field, those that are not named here too. */
export interface ChatMessage {
  /** Who speaks: "system", "user", "assistant", "tool", or what else the model's template knows. */
  readonly role: string;
  /** The text. A list of parts is for templates that take one. It is null only beside `tool_calls`. */
  readonly content?: string | readonly ContentPart[] | null;
  /** Calls that the assistant made, as in the chat APIs of hubs and servers. */
  readonly tool_calls?: readonly ToolCallEntry[];
  readonly [field: string]: unknown;
}

/** A part of a message, for templates that take parts. */
export interface ContentPart {
  /** What kind of part it is: "text", or what else the template knows. */
  readonly type: string;
  /** The text of a part that is one. */
  readonly text?: string;
  readonly [field: string]: unknown;
}

/** A call in a message, as the chat APIs of hubs and servers write it. */
export interface ToolCallEntry {
  /** What is called: there are only functions. */
  readonly type: "function";
  /** The function with its arguments. */
  readonly function: ToolCall;
  readonly [field: string]: unknown;
}

/** A function with the arguments that the model wants to call it with. */
export interface ToolCall {
  /** The name of the function. */
  readonly name: string;
  /** The arguments by the names of the function's parameters. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** A function that the model may call, as a JSON schema: `{type: "function", function: {name, parameters, …}}`. */
export type ToolDefinition = Readonly<Record<string, unknown>>;

/**
 * Checks that a value is a list of messages.
 *
 * @throws ModelComposeError "invalid-input" naming the message and the field
 */
export function checkMessages(value: unknown): asserts value is readonly ChatMessage[] {
  const problem = Array.isArray(value)
    ? listProblem(value)
    : { path: "", expected: "a list of messages", found: value };
  if (problem === undefined) {
    return;
  }
  const { path, expected, found } = problem;
  throw new ModelComposeError(
    "invalid-input",
    `messages${path} must be ${expected}, found ${describeJson(found)}.`,
    { remedy: 'Write messages as {"role": "user", "content": "…"}.' },
  );
}

/** Tells what is wrong with a list of messages, and where (`[1].content`); undefined when nothing is. */
export function listProblem(
  messages: readonly unknown[],
): { path: string; expected: string; found: unknown } | undefined {
  if (messages.length === 0) {
    return { path: "", expected: "a list of at least one message", found: messages };
  }
  for (const [i, message] of messages.entries()) {
    const problem = messageProblem(message);
    if (problem !== undefined) {
      return { ...problem, path: `[${i}]${problem.path}` };
    }
  }
  return undefined;
}

function messageProblem(message: unknown): { path: string; expected: string; found: unknown } | undefined {
  if (!isJsonObject(message)) {
    return { path: "", expected: "an object with role and content", found: message };
  }
  const { role, content, tool_calls: calls } = message;
  if (typeof role !== "string" || role === "") {
    return { path: ".role", expected: 'a role such as "user" or "system"', found: role };
  }
  if (typeof content === "string") {
    return undefined;
  }
  if (Array.isArray(content)) {
    return partsProblem(content);
  }
  // The calls of an assistant may be all that it says.
  if ((content === null || content === undefined) && Array.isArray(calls) && calls.length > 0) {
    return undefined;
  }
  return { path: ".content", expected: "a text", found: content };
}

function partsProblem(
  parts: readonly unknown[],
): { path: string; expected: string; found: unknown } | undefined {
  for (const [i, part] of parts.entries()) {
    if (isJsonObject(part) && part.type === "text" && typeof part.text === "string") {
      continue;
    }
    const expected = 'a part {"type": "text", "text": "…"}';
    return { path: `.content[${i}]`, expected, found: part };
  }
  return undefined;
}
