/** Answers a message without anybody to ask, as in a pipe. */
import { ModelComposeError } from "../../base/errors.ts";
import type { ChatResult } from "../../models/chat/chat.ts";
import { messagesOf, withMessage, type Conversation } from "./conversation.ts";
import { fit } from "./fit.ts";
import type { SessionParts } from "./parts.ts";
import type { ChatSettings } from "./settings.ts";
import { fullContextText } from "./token-text.ts";

/**
 * Answers one message without anybody to ask, as in a pipe.
 *
 * @returns the conversation with the answer
 * @throws ModelComposeError "invalid-input" for a conversation that does not fit; what answering throws; AbortError
 */
export async function answerOnce(
  {
    partner,
    view,
    warn,
    signal,
    prefilling,
  }: Pick<SessionParts, "partner" | "view" | "warn" | "signal" | "prefilling">,
  asked: Conversation,
  settings: ChatSettings,
): Promise<{ readonly conversation: Conversation; readonly result: ChatResult }> {
  const { contextLength } = partner;
  const { max_output_length: maxNewTokens } = settings.parameters;
  const found = await fit(asked, { contextLength, maxNewTokens }, (one) =>
    partner.countTokens(messagesOf(one), { settings, signal }),
  );
  if (!found.fits) {
    throw new ModelComposeError("invalid-input", fullContextText(found, contextLength), {
      remedy:
        "Raise --context-length, send less, or go on at a terminal, where the oldest turns can be dropped.",
    });
  }
  const shown = view(false);
  let result: ChatResult | undefined;
  const warnings: string[] = [];
  try {
    for await (const part of partner.answer(messagesOf(asked), { settings, signal, onPrefill: prefilling })) {
      if (part.type === "content") {
        await shown.content(part.text);
      } else if (part.type === "reasoning") {
        shown.reasoning(part.text);
      } else if (part.type === "result") {
        result = part.result;
      } else {
        warnings.push(part.type === "warning" ? part.text : callText(part));
      }
    }
  } finally {
    await shown.end();
  }
  warnings.forEach(warn);
  if (result === undefined) {
    throw new Error("an answer ended without its result");
  }
  return { conversation: withMessage(asked, result.message), result };
}

/** A call of a tool as people read it. Who calls it is not this program, which has no tools to run. */
export function callText({
  text,
  toolCall,
}: {
  text: string;
  toolCall?: { name: string; arguments: unknown };
}): string {
  return `The model asks for ${toolCall === undefined ? text : `${toolCall.name} ${JSON.stringify(toolCall.arguments)}`}`;
}
