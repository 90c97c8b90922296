/** A conversation as data: every change is a function of what was before. Knows no page and no server. */
import type { AnswerFacts } from "./answer-facts.ts";
import type { KeptToken } from "./token-alternatives.ts";
import type { WireToolCall } from "./wire.ts";

/** A call as it stands in a message, in the words of chat APIs. */
export interface ToolCallEntry {
  readonly type: "function";
  readonly function: WireToolCall;
}

/** One message, with what is known of it beside what the model reads. */
export interface Message {
  readonly role: string;
  readonly content: string;
  readonly tool_calls?: readonly ToolCallEntry[];
  /** What the model thought before it answered; it does not read it again. */
  readonly reasoning?: string;
  readonly facts?: AnswerFacts;
  /** Its tokens, where it was asked how likely they were; the model does not read them. */
  readonly tokens?: readonly KeptToken[];
}

/** A conversation. */
export interface Conversation {
  readonly id: string;
  /** Id of the workflow that answers. */
  readonly workflow: string;
  /** The name that a person gave it; absent: the first words. */
  readonly title?: string;
  /** What the model is told before all that is said; absent: what the file says, if anything. */
  readonly system?: string;
  /** What was said. Each turn begins with a message of the user. */
  readonly messages: readonly Message[];
  /** Time of the last change, in milliseconds since 1970. */
  readonly changedAt: number;
  /** The answer that is being written: its task, and when it began. */
  readonly pending?: { readonly task: string; readonly at: number };
  /** Why there is no whole answer to the last message. */
  readonly error?: string;
}

/** Something that happens to a conversation. */
export type ConversationAction =
  /** The user says something. */
  | { readonly type: "say"; readonly text: string }
  /** A message of the user becomes another; what came behind it goes. */
  | { readonly type: "edit"; readonly index: number; readonly text: string }
  /** The answer at an index is to be written anew; what came behind it goes. */
  | { readonly type: "again"; readonly index: number }
  /** What the functions gave that the model called, in the order of the calls. */
  | { readonly type: "tool-results"; readonly texts: readonly string[] }
  | { readonly type: "began"; readonly task: string; readonly at: number }
  | { readonly type: "answered"; readonly message: Message }
  /** The answer broke off; what there is of it stays. */
  | { readonly type: "broke-off"; readonly message: Message; readonly error?: string }
  | { readonly type: "system"; readonly text: string }
  | { readonly type: "rename"; readonly title: string };

export function newConversation(id: string, workflow: string, now: number): Conversation {
  return { id, workflow, messages: [], changedAt: now };
}

/** The conversation after an action. @param now milliseconds since 1970 */
export function reduce(before: Conversation, action: ConversationAction, now: number): Conversation {
  return { ...changed(before, action), changedAt: now };
}

function changed(before: Conversation, action: ConversationAction): Conversation {
  const { messages } = before;
  switch (action.type) {
    case "say":
      return asked(before, [...messages, { role: "user", content: action.text }]);
    case "edit":
      return messages[action.index]?.role === "user"
        ? asked(before, [...messages.slice(0, action.index), { role: "user", content: action.text }])
        : before;
    case "again": {
      const last = messages.slice(0, action.index + 1).findLastIndex(({ role }) => role !== "assistant");
      return last < 0 ? before : asked(before, messages.slice(0, last + 1));
    }
    case "tool-results":
      return asked(before, [...messages, ...action.texts.map((content) => ({ role: "tool", content }))]);
    case "began":
      return { ...before, error: undefined, pending: { task: action.task, at: action.at } };
    case "answered":
      return { ...before, pending: undefined, error: undefined, messages: [...messages, action.message] };
    case "broke-off": {
      const { message, error } = action;
      // An answer that had not begun leaves the question to be asked again.
      const isEmpty = message.content.trim() === "" && (message.reasoning ?? "") === "";
      return { ...before, pending: undefined, error, messages: isEmpty ? messages : [...messages, message] };
    }
    case "system":
      return { ...before, system: action.text.trim() === "" ? undefined : action.text };
    case "rename": {
      const title = action.title.trim();
      return { ...before, title: title === "" ? undefined : title };
    }
  }
}

/** With messages that are to be answered. */
function asked(before: Conversation, messages: readonly Message[]): Conversation {
  return { ...before, messages, pending: undefined, error: undefined };
}

/** Whether the last message waits for an answer. */
export function isOpen({ messages, pending }: Conversation): boolean {
  const last = messages.at(-1);
  return pending === undefined && last !== undefined && last.role !== "assistant";
}

/** The calls of the last answer that nobody has answered yet. */
export function openCalls({ messages }: Conversation): readonly ToolCallEntry[] {
  return messages.at(-1)?.tool_calls ?? [];
}

/** The name of a conversation: the person's, or the beginning of what was said first. */
export function titleOf({ title, messages }: Pick<Conversation, "title" | "messages">, length = 60): string {
  const line = title ?? messages[0]?.content.replaceAll(/\s+/g, " ").trim() ?? "";
  if (line === "") {
    return "New conversation";
  }
  const characters = [...line];
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : line;
}

/** Whether all words of a search stand in a conversation. */
export function matches(conversation: Conversation, search: string): boolean {
  const texts = conversation.messages.map(({ content }) => content);
  const all = [conversation.title ?? "", ...texts].join("\n").toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}
