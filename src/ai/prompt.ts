/** Prompts of the AI SDK as conversations for chat templates, and as one text for a model that continues texts. */
import type {
  LanguageModelV3Message,
  LanguageModelV3Prompt,
  LanguageModelV3ToolResultOutput,
  SharedV3Warning,
} from "@ai-sdk/provider";
import { ModelComposeError } from "../base/errors.ts";
import { describeJson, isJsonObject } from "../base/json.ts";
import type { ChatMessage, ToolCallEntry } from "../models/chat/messages.ts";

type Assistant = Extract<LanguageModelV3Message, { role: "assistant" }>;
type Part = Exclude<LanguageModelV3Message["content"], string>[number];

/**
 * The messages of a prompt. Texts of one message stand on lines of their own; reasoning goes into `reasoning_content`, where
 * templates that want it look for it; each result of a tool is a message.
 *
 * @param warnings takes what of the prompt is left out
 * @throws ModelComposeError "unsupported" for what is no text, "invalid-input" for arguments that are no object
 */
export function chatMessages(prompt: LanguageModelV3Prompt, warnings: SharedV3Warning[]): ChatMessage[] {
  return prompt.flatMap((message, i): ChatMessage[] => {
    const place = `prompt[${i}]`;
    switch (message.role) {
      case "system":
        return [{ role: "system", content: message.content }];
      case "user":
        return [{ role: "user", content: textOf(message.content, place) }];
      case "assistant":
        return [assistantMessage(message, place)];
      case "tool":
        return message.content.flatMap((part, j): ChatMessage[] => {
          if (part.type === "tool-approval-response") {
            // The SDK itself asks and answers for tools that it executes; the tool's result or denial stands beside it.
            warnings.push({ type: "unsupported", feature: "answers to a provider's requests for approval" });
            return [];
          }
          const content = resultText(part.output, `${place}.content[${j}].output`);
          return [{ role: "tool", tool_call_id: part.toolCallId, name: part.toolName, content }];
        });
    }
  });
}

/**
 * The text of a prompt that is one message of a user.
 *
 * @throws ModelComposeError "unsupported" for another prompt: a model without a chat template knows no others
 */
export function promptText(prompt: LanguageModelV3Prompt): string {
  const [message] = prompt;
  if (prompt.length === 1 && message?.role === "user") {
    return textOf(message.content, "prompt[0]");
  }
  const found = prompt.map(({ role }) => `"${role}"`).join(", ");
  throw new ModelComposeError(
    "unsupported",
    `A completion continues one text: the prompt must be one message of the role "user", found ${found === "" ? "none" : found}.`,
    { remedy: "Give one prompt, or take a chat model with modelCompose(…).", parameter: "prompt" },
  );
}

function assistantMessage({ content }: Assistant, place: string): ChatMessage {
  const texts: string[] = [];
  const thoughts: string[] = [];
  const calls: ToolCallEntry[] = [];
  for (const [i, part] of content.entries()) {
    switch (part.type) {
      case "text":
        texts.push(part.text);
        break;
      case "reasoning":
        thoughts.push(part.text);
        break;
      case "tool-call":
        calls.push({
          id: part.toolCallId,
          type: "function",
          function: { name: part.toolName, arguments: argumentsOf(part.input, `${place}.content[${i}]`) },
        });
        break;
      case "file":
      case "tool-result":
        throw notText(part, `${place}.content[${i}]`);
    }
  }
  return {
    role: "assistant",
    content: texts.join("\n"),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join("\n") }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function textOf(parts: readonly Part[], place: string): string {
  return parts
    .map((part, i) => {
      if (part.type === "text") {
        return part.text;
      }
      throw notText(part, `${place}.content[${i}]`);
    })
    .join("\n");
}

/** The SDK gives inputs as objects; a call that was repaired by hand may have its JSON as a text. */
function argumentsOf(input: unknown, place: string): Readonly<Record<string, unknown>> {
  let value = input;
  if (typeof input === "string") {
    try {
      value = JSON.parse(input);
    } catch {
      value = input;
    }
  }
  if (isJsonObject(value)) {
    return value;
  }
  throw new ModelComposeError(
    "invalid-input",
    `${place}.input must be an object with the arguments of the call, found ${describeJson(input)}.`,
    { parameter: "prompt" },
  );
}

/** What a tool gave, as the text that templates show. */
function resultText(output: LanguageModelV3ToolResultOutput, place: string): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The call of the tool was denied.";
    case "content":
      return output.value
        .map((part, i) => {
          if (part.type === "text") {
            return part.text;
          }
          throw notText(part, `${place}.value[${i}]`);
        })
        .join("\n");
  }
}

function notText(
  part: { readonly type: string; readonly mediaType?: string },
  place: string,
): ModelComposeError {
  const kind = part.mediaType === undefined ? "" : ` (${part.mediaType})`;
  return new ModelComposeError(
    "unsupported",
    `${place} must be a text, found the type "${part.type}"${kind}: the models read texts alone.`,
    { remedy: "Put what matters of it into a text.", parameter: "prompt" },
  );
}
