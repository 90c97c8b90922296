/** Makes the message of a run that answered a conversation. */
import { answerFacts } from "./answer-facts.ts";
import type { Message } from "./conversation.ts";
import type { RunState } from "./run-state.ts";

/**
 * The answer of a run that has ended, as far as it came. Where the run was tried again, the last attempt counts.
 *
 * @param now milliseconds, on the clock of the state
 */
export function answerMessage(state: RunState, now: number): Message {
  const written = state.texts.at(-1);
  const calls = (written?.toolCalls ?? []).map((call) => ({ type: "function" as const, function: call }));
  return {
    role: "assistant",
    // Of a run that ended while nobody looked, only its output is known.
    content: written?.text ?? textOfOutput(state.output?.value) ?? "",
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(written?.reasoning === undefined ? {} : { reasoning: written.reasoning }),
    facts: answerFacts(state, now),
  };
}

/** The answer in an output: the text, the content of a message, or the first text that there is. */
function textOfOutput(output: unknown): string | undefined {
  if (typeof output === "string" || output === undefined) {
    return output;
  }
  if (typeof output !== "object" || output === null) {
    return undefined;
  }
  const values: readonly unknown[] = Object.values(output);
  const content = "content" in output && typeof output.content === "string" ? output.content : undefined;
  return content ?? values.map(textOfOutput).find((text) => text !== undefined);
}
