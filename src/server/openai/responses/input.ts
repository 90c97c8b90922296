/** The input of a response as chat templates read it. */
import type { z } from "zod";
import type { ChatMessage } from "../../../models/chat/messages.ts";
import { HttpError } from "../../http-error.ts";
import { checkValue } from "../../model-api/read-fields.ts";
import { argumentsOf } from "../messages.ts";
import { itemSchemas, partSchema, type ResponsesRequest } from "./requests.ts";

/** The messages of a request for a chat template. @throws HttpError 400 naming the place that cannot be used */
export function chatMessages({
  input,
  instructions,
}: Pick<ResponsesRequest, "input" | "instructions">): ChatMessage[] {
  const messages: ChatMessage[] =
    instructions === undefined ? [] : [{ role: "system", content: instructions }];
  if (typeof input === "string") {
    return [...messages, { role: "user", content: input }];
  }
  for (const [i, item] of input.entries()) {
    addItem(messages, item, `input[${i}]`);
  }
  return messages;
}

/** Adds an item. What a model thought, said and called in one turn is one message of the assistant. */
function addItem(messages: ChatMessage[], item: Readonly<Record<string, unknown>>, place: string): void {
  const { type = "message" } = item;
  switch (type) {
    case "message": {
      const { role, content } = checked("message", item, place);
      const text = textOf(content, `${place}.content`);
      if (role === "assistant") {
        extend(messages, "content", ({ content: before }) => ({
          content: typeof before === "string" && before !== "" ? `${before}\n${text}` : text,
        }));
      } else {
        messages.push({ role: role === "developer" ? "system" : role, content: text });
      }
      return;
    }
    case "function_call": {
      const call = checked("function_call", item, place);
      const given = argumentsOf(call.arguments, `${place}.arguments`);
      const made = {
        id: call.call_id,
        type: "function",
        function: { name: call.name, arguments: given },
      } as const;
      extend(messages, "tool_calls", (before) => ({ tool_calls: [...(before.tool_calls ?? []), made] }));
      return;
    }
    case "function_call_output": {
      const { call_id, output } = checked("function_call_output", item, place);
      messages.push({ role: "tool", tool_call_id: call_id, content: textOf(output, `${place}.output`) });
      return;
    }
    case "reasoning": {
      const { content } = checked("reasoning", item, place);
      const thought = (content ?? []).map(({ text }) => text).join("\n");
      if (thought !== "") {
        extend(messages, "reasoning_content", () => ({ reasoning_content: thought }));
      }
      return;
    }
    default: {
      const field = `${place}.type`;
      const known = Object.keys(itemSchemas).join(", ");
      throw new HttpError(400, `The field "${field}" is wrong: expected one of ${known}.`, { field });
    }
  }
}

/** The order in which a model writes the parts of one turn. */
const ORDER = ["reasoning_content", "content", "tool_calls"] as const;

/** Adds a part to the assistant's message that is last, unless it has a later part already: then another turn begins. */
function extend(
  messages: ChatMessage[],
  part: (typeof ORDER)[number],
  change: (before: ChatMessage) => Partial<ChatMessage>,
): void {
  const last = messages.at(-1);
  const later = ORDER.slice(ORDER.indexOf(part) + 1);
  const isOpen = last?.role === "assistant" && later.every((name) => (last[name] ?? "") === "");
  const before: ChatMessage = isOpen ? last : { role: "assistant", content: "" };
  const after = { ...before, ...change(before) };
  if (isOpen) {
    messages[messages.length - 1] = after;
  } else {
    messages.push(after);
  }
}

function checked<Type extends keyof typeof itemSchemas>(
  type: Type,
  item: Readonly<Record<string, unknown>>,
  place: string,
): z.infer<(typeof itemSchemas)[Type]> {
  const schema: (typeof itemSchemas)[Type] = itemSchemas[type];
  return checkValue(schema, item, place);
}

/** The text of a content: parts stand on lines of their own. */
function textOf(content: unknown, place: string): string {
  if (typeof content === "string") {
    return content;
  }
  if (!Array.isArray(content) || content.length === 0) {
    const why = "expected a text or a list of parts";
    throw new HttpError(400, `The field "${place}" is wrong: ${why}.`, { field: place });
  }
  return content.map((part: unknown, i) => checkValue(partSchema, part, `${place}[${i}]`).text).join("\n");
}
