/** A conversation as `chat` keeps it: what was said, and what is asked for with every answer. All of it is data. */
import { z } from "zod";
import { listProblem, type ChatMessage } from "../../models/chat/messages.ts";

/** A conversation; every change gives a new one. */
export interface Conversation {
  /** What the model is told before all that is said; undefined: nothing. */
  readonly system: string | undefined;
  /** What was said, without the message of the system. Each turn begins with a message of the user. */
  readonly messages: readonly ChatMessage[];
}

export const emptyConversation: Conversation = { system: undefined, messages: [] };

/** What the model reads: the message of the system, where there is one, and what was said. */
export function messagesOf({ system, messages }: Conversation): readonly ChatMessage[] {
  return system === undefined ? messages : [{ role: "system", content: system }, ...messages];
}

/** The messages of each turn: what a user says, and all that follows until a user speaks again. */
export function turnsOf({ messages }: Pick<Conversation, "messages">): readonly (readonly ChatMessage[])[] {
  const turns: ChatMessage[][] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    if (message.role === "user" || last === undefined) {
      turns.push([message]);
    } else {
      last.push(message);
    }
  }
  return turns;
}

export function withMessage(conversation: Conversation, message: ChatMessage): Conversation {
  return { ...conversation, messages: [...conversation.messages, message] };
}

/** The conversation before its last turn; undefined where nothing was said. */
export function withoutLastTurn(conversation: Conversation): Conversation | undefined {
  const turns = turnsOf(conversation);
  return turns.length === 0 ? undefined : { ...conversation, messages: turns.slice(0, -1).flat() };
}

/**
 * The conversation up to the last message that is to be answered: the user's, or a tool's result. Undefined where nothing was said.
 */
export function withoutLastAnswer(conversation: Conversation): Conversation | undefined {
  const last = conversation.messages.findLastIndex(({ role }) => role !== "assistant");
  return last < 0 ? undefined : { ...conversation, messages: conversation.messages.slice(0, last + 1) };
}

/** The conversation without its oldest turns. The last one always stays: it is what is to be answered. */
export function withoutOldest(conversation: Conversation, turns: number): Conversation {
  const all = turnsOf(conversation);
  return { ...conversation, messages: all.slice(Math.min(turns, all.length - 1)).flat() };
}

const SUMMARY_QUESTION = "What have we talked about so far?";

/** What a model is asked to sum up the oldest turns of a conversation. */
export function summaryRequest(conversation: Conversation, turns: number): Conversation {
  const content =
    "Summarise our conversation so far in a few sentences: what was asked, what was answered, and every name, number and " +
    "decision that matters. Write nothing but the summary.";
  const oldest = turnsOf(conversation).slice(0, turns).flat();
  return { ...conversation, messages: [...oldest, { role: "user", content }] };
}

/** The conversation with a summary in the place of its oldest turns, as a turn of its own: every template takes one. */
export function withSummary(conversation: Conversation, turns: number, summary: string): Conversation {
  const rest = withoutOldest(conversation, turns).messages;
  const summed: ChatMessage[] = [
    { role: "user", content: SUMMARY_QUESTION },
    { role: "assistant", content: summary },
  ];
  return { ...conversation, messages: [...summed, ...rest] };
}

/** The text of a message; calls and parts that are no text are left out. */
export function textOf({ content }: ChatMessage): string {
  if (typeof content === "string") {
    return content;
  }
  return Array.isArray(content) ? content.map((part: { text?: string }) => part.text ?? "").join("") : "";
}

/** The text of the last answer; undefined before there is one. */
export function lastAnswer({ messages }: Conversation): string | undefined {
  const answer = messages.findLast(({ role }) => role === "assistant");
  return answer === undefined ? undefined : textOf(answer);
}

/** A conversation as it is kept in a file. */
export const keptConversation = z.object({
  /** Of the layout of this file. */
  version: z.literal(1),
  model: z.string(),
  savedAt: z.iso.datetime(),
  system: z.string().optional(),
  messages: z.array(z.looseObject({ role: z.string() })).superRefine((messages, context) => {
    const problem = messages.length === 0 ? undefined : listProblem(messages);
    if (problem !== undefined) {
      context.addIssue(`messages${problem.path} must be ${problem.expected}`);
    }
  }),
});
export type KeptConversation = z.infer<typeof keptConversation>;

/** @param savedAt an ISO date and time */
export function toKept({ system, messages }: Conversation, model: string, savedAt: string): KeptConversation {
  return { version: 1, model, savedAt, system, messages: [...messages] };
}

export function fromKept({ system, messages }: KeptConversation): Conversation {
  return { system, messages: messages };
}

/** A line that tells one conversation from others: the beginning of what was said first. */
export function titleOf({ messages }: Pick<Conversation, "messages">, length = 60): string {
  const [first] = messages;
  const line = first === undefined ? "" : textOf(first).replaceAll(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : line;
}
