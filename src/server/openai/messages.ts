/** Conversations as OpenAI's API writes them, as chat templates read them. */
import { isJsonObject } from "../../base/json.ts";
import type { ChatMessage, ToolCallEntry } from "../../models/chat/messages.ts";
import { HttpError } from "../http-error.ts";
import type { RequestMessage } from "./requests.ts";

/** The messages of a request for a chat template. @throws HttpError 400 naming the place that cannot be used */
export function chatMessages(messages: readonly RequestMessage[]): ChatMessage[] {
  return messages.map((message, i) => chatMessage(message, `messages[${i}]`));
}

function chatMessage(message: RequestMessage, place: string): ChatMessage {
  if (message.role === "assistant") {
    return answerOf(message, place);
  }
  const { role, content, ...rest } = message;
  const text = textOf(content, `${place}.content`);
  // "developer" is what OpenAI's newer models call the system; templates know the one that has always been.
  return { ...rest, role: role === "developer" ? "system" : role, content: text };
}

function answerOf(
  { content, tool_calls: calls = [], reasoning_content, name }: RequestMessage & { role: "assistant" },
  place: string,
): ChatMessage {
  if (content === undefined && calls.length === 0) {
    const field = `${place}.content`;
    throw new HttpError(400, `${field} is missing, and there are no tool_calls in its place.`, { field });
  }
  return {
    role: "assistant",
    content: content === undefined ? "" : textOf(content, `${place}.content`),
    ...(name === undefined ? {} : { name }),
    ...(reasoning_content === undefined ? {} : { reasoning_content }),
    ...(calls.length === 0
      ? {}
      : {
          tool_calls: calls.map((call, i): ToolCallEntry => {
            const { name: called, arguments: written } = call.function;
            const given = argumentsOf(written, `${place}.tool_calls[${i}].function.arguments`);
            return { id: call.id, type: "function", function: { name: called, arguments: given } };
          }),
        }),
  };
}

/** The text of a content: parts stand on lines of their own. */
function textOf(content: RequestMessage["content"], place: string): string {
  if (typeof content === "string" || content === undefined) {
    return content ?? "";
  }
  return content
    .map((part, i) => {
      if (part.type === "text" && typeof part.text === "string") {
        return part.text;
      }
      const field = `${place}[${i}]`;
      throw new HttpError(
        400,
        `${field} must be a part {"type": "text", "text": "…"}, found the type "${part.type}". Only texts are supported.`,
        { field },
      );
    })
    .join("\n");
}

/** Arguments of a call: templates show the object itself. A call without any may have an empty text. */
export function argumentsOf(text: string, field: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isJsonObject(value)) {
    return value;
  }
  throw new HttpError(400, `${field} must be a JSON object as a text.`, { field });
}
