/** Makes the message of a run that answered a conversation. */
import { answerFacts } from "./answer-facts.ts";
import type { Message } from "./conversation.ts";
import { keptTokens } from "./token-alternatives.ts";
import type { RunState } from "./run-state.ts";

/**
 * The answer of a run that has ended, as far as it came. Where the run was tried again, the last attempt counts.
 *
 * @param now milliseconds, on the clock of the state
 */
export function answerMessage(state: RunState, now: number): Message {
  const written = state.texts.at(-1);
  const { message } = state;
  const calls =
    message === undefined
      ? written?.toolCalls?.map((call) => ({ type: "function" as const, function: call }))
      : message.tool_calls;
  // What the server gives is what the model is to read again; it is there too where the run ended while nobody looked.
  const reasoning = message?.reasoning_content ?? written?.reasoning;
  return {
    role: "assistant",
    content: message?.content ?? written?.text ?? "",
    ...(calls === undefined || calls.length === 0 ? {} : { tool_calls: calls }),
    ...(reasoning === undefined ? {} : { reasoning }),
    facts: answerFacts(state, now),
    ...(written?.logprobs === undefined ? {} : { tokens: keptTokens(written.logprobs) }),
  };
}
