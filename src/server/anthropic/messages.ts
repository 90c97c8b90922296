/** Conversations as Anthropic's API writes them, as chat templates read them. */
import type { ChatMessage, ToolCallEntry } from "../../models/chat/messages.ts";
import { HttpError } from "../http-error.ts";
import type { AnthropicMessage, CountRequest, RequestBlock } from "./requests.ts";

type OfType<Type extends RequestBlock["type"]> = Extract<RequestBlock, { type: Type }>;

/** The messages of a request for a chat template. @throws HttpError 400 naming the place that cannot be used */
export function chatMessages({ system, messages }: Pick<CountRequest, "system" | "messages">): ChatMessage[] {
  const last = messages.length - 1;
  if (messages[last]?.role === "assistant") {
    const field = `messages[${last}].role`;
    const why = "an answer that is begun already cannot be gone on with";
    throw new HttpError(400, `The field "${field}" is wrong: ${why}. End with a message of the user.`, {
      field,
    });
  }
  return [
    ...(system === undefined ? [] : [{ role: "system", content: joined(system) }]),
    ...messages.flatMap((message, i) => chatMessage(message, `messages[${i}].content`)),
  ];
}

/** The functions that a model may call, as chat templates read them. */
export function chatTools(tools: CountRequest["tools"]): Record<string, unknown>[] | undefined {
  return tools?.map(({ name, description, input_schema: parameters, strict }) => ({
    type: "function",
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters,
      ...(strict && { strict }),
    },
  }));
}

function chatMessage({ role, content }: AnthropicMessage, place: string): ChatMessage[] {
  if (typeof content === "string") {
    return [{ role, content }];
  }
  const allowed = role === "user" ? ["text", "tool_result"] : ["text", "thinking", "tool_use"];
  for (const [i, { type }] of content.entries()) {
    if (!allowed.includes(type)) {
      const field = `${place}[${i}].type`;
      const message = `The field "${field}" is wrong: a message of the ${role} has no block of the type "${type}".`;
      throw new HttpError(400, message, { field });
    }
  }
  const ofType = <Type extends RequestBlock["type"]>(type: Type): OfType<Type>[] =>
    content.filter((block): block is OfType<Type> => block.type === type);
  const text = joined(ofType("text"));
  if (role === "user") {
    // What tools gave is the message of a tool each, before what the user says to it.
    const results = ofType("tool_result").map((result) => ({
      role: "tool",
      tool_call_id: result.tool_use_id,
      content: joined(result.content ?? ""),
      ...(result.is_error === true ? { is_error: true } : {}),
    }));
    return results.length > 0 && text === "" ? results : [...results, { role, content: text }];
  }
  const calls = ofType("tool_use").map(({ id, name, input }): ToolCallEntry => ({
    id,
    type: "function",
    function: { name, arguments: input },
  }));
  const thoughts = ofType("thinking").map(({ thinking }) => thinking);
  return [
    {
      role,
      content: text,
      ...(thoughts.length === 0 ? {} : { reasoning_content: thoughts.join("\n") }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    },
  ];
}

/** The text of blocks: each stands on lines of its own. */
function joined(texts: string | readonly { readonly text: string }[]): string {
  return typeof texts === "string" ? texts : texts.map(({ text }) => text).join("\n");
}
