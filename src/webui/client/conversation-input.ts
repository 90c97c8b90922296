/** Makes the input of a run of a conversation and of the other fields of its workflow. */
import type { Conversation, Message } from "./conversation.ts";
import { withValueAt } from "./form-input.ts";
import type { WireConversation, WireVariable } from "./wire.ts";

/** The variables of a workflow that are not the conversation: what its settings are made of. */
export function settingsOf(
  variables: readonly WireVariable[],
  { messages, history, prompt, system }: WireConversation,
): WireVariable[] {
  const taken = [messages, history, prompt, system];
  return variables.filter(({ name = "" }) => !taken.includes(name));
}

/** Whether a workflow can be told something before all that is said. */
export function takesSystem({ system }: WireConversation): boolean {
  return system !== undefined;
}

/** What the file tells the model before all where the conversation says nothing; undefined: nothing, or nobody knows. */
export function fileSystem(
  variables: readonly WireVariable[],
  { messages, history, system }: WireConversation,
): string | undefined {
  const own = system === messages || system === history ? undefined : system;
  const text = variables.find(({ name = "" }) => name === own)?.default;
  return own === undefined || typeof text !== "string" ? undefined : text;
}

/** What the model reads of a message. */
function sent({ role, content, tool_calls: calls }: Message): object {
  return calls === undefined || calls.length === 0 ? { role, content } : { role, content, tool_calls: calls };
}

/**
 * The input of the run that answers a conversation. All that was said goes with it, in the same order as before, so that
 * the server has read its beginning already.
 *
 * @param settings the input that the form of the settings makes
 */
export function conversationInput(
  { system, messages }: Pick<Conversation, "system" | "messages">,
  places: WireConversation,
  settings: unknown,
): unknown {
  const { messages: whole, history, prompt } = places;
  const first = system === undefined ? [] : [{ role: "system", content: system }];
  const isFirst = places.system !== undefined && (places.system === whole || places.system === history);
  const said = messages.map(sent);
  let input = settings;
  if (system !== undefined && places.system !== undefined && !isFirst) {
    input = withValueAt(input, places.system, system);
  }
  if (whole !== undefined) {
    return withValueAt(input, whole, [...(isFirst ? first : []), ...said]);
  }
  const last = messages.at(-1);
  if (last?.role !== "user") {
    throw new ConversationInputError(
      "This workflow takes a history and a user's message, and the last message is not a user's.",
    );
  }
  input = withValueAt(input, history ?? "", [...(isFirst ? first : []), ...said.slice(0, -1)]);
  return withValueAt(input, prompt ?? "", last.content);
}

/** The error for a conversation that a workflow has no place for. */
export class ConversationInputError extends Error {
  override readonly name = "ConversationInputError";
}
