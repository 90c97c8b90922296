/**
 * Conversations as files. One conversation has the form that `/save` of `model-compose chat` writes and `/load` reads, with a
 * title more; several are a list of such.
 */
import * as z from "zod/mini";
import type { AnswerFacts } from "./answer-facts.ts";
import { titleOf, type Conversation, type Message } from "./conversation.ts";
import { parseForeign } from "./foreign-file.ts";
import { storedTokens } from "./token-alternatives.ts";

/** The facts of an answer, as they are kept. */
export const storedFacts: z.ZodMiniType<AnswerFacts> = z.object({
  model: z.optional(z.string()),
  precision: z.optional(z.string()),
  device: z.optional(z.string()),
  contextLength: z.optional(z.number()),
  ended: z.enum(["eos", "length", "context", "stop", "stopped", "failed"]),
  promptTokens: z.optional(z.number()),
  newTokens: z.optional(z.number()),
  tokensPerSecond: z.optional(z.number()),
  seconds: z.optional(z.number()),
  seeds: z.optional(z.array(z.number())),
});

const toolCall = z.object({
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
});

/** A message as chat APIs have it: its text may come in parts, and is null beside calls. */
const message = z.object({
  role: z.string().check(z.minLength(1)),
  content: z.nullish(z.union([z.string(), z.array(z.object({ type: z.literal("text"), text: z.string() }))])),
  tool_calls: z.optional(z.array(toolCall)),
  reasoning: z.optional(z.string()),
  facts: z.optional(storedFacts),
});

const kept = z.object({
  version: z.literal(1),
  model: z.optional(z.string()),
  savedAt: z.iso.datetime(),
  title: z.optional(z.string()),
  system: z.optional(z.string()),
  messages: z.array(message).check(z.minLength(1)),
});
type Kept = z.infer<typeof kept>;

const several = z.object({ version: z.literal(1), conversations: z.array(kept) });

/** What is kept of a conversation in the browser. */
export const storedConversation: z.ZodMiniType<Conversation> = z.object({
  id: z.string(),
  workflow: z.string(),
  title: z.optional(z.string()),
  system: z.optional(z.string()),
  messages: z.array(
    z.object({
      role: z.string(),
      content: z.string(),
      tool_calls: z.optional(z.array(toolCall)),
      reasoning: z.optional(z.string()),
      facts: z.optional(storedFacts),
      tokens: z.optional(storedTokens),
    }),
  ),
  changedAt: z.number(),
  pending: z.optional(z.object({ task: z.string(), at: z.number() })),
  error: z.optional(z.string()),
});

/** The text of a file with one conversation. */
export function exportOne(conversation: Conversation): string {
  return `${JSON.stringify(toKept(conversation), null, 2)}\n`;
}

/** The text of a file with several. Those in which nothing was said are left out. */
export function exportAll(conversations: readonly Conversation[]): string {
  const said = conversations.filter(({ messages }) => messages.length > 0);
  return `${JSON.stringify({ version: 1, conversations: said.map(toKept) }, null, 2)}\n`;
}

function toKept(conversation: Conversation): Kept {
  const { system, messages, changedAt } = conversation;
  const model = messages.findLast((one) => one.facts?.model !== undefined)?.facts?.model;
  return {
    version: 1,
    model: model ?? conversation.workflow,
    savedAt: new Date(changedAt).toISOString(),
    title: titleOf(conversation),
    system,
    // The alternatives of tokens are many times longer than what was said, and nobody else reads them.
    messages: messages.map(({ tokens: _, ...one }) => one) as Kept["messages"],
  };
}

/** A conversation of a file, for a workflow that goes on with it. */
export type Imported = Pick<Conversation, "title" | "system" | "messages">;

/**
 * The conversations of a file: one, or several.
 *
 * @throws ForeignFileError naming what is wrong, and where
 */
export function importConversations(text: string): Imported[] {
  // The key tells which of the two forms the file has, so that what is wrong is said of that.
  const isList = /"conversations"\s*:/.test(text.slice(0, 200));
  const found = isList
    ? parseForeign(text, "a list of conversations", several).conversations
    : [parseForeign(text, "a conversation", kept)];
  return found.map(({ title, system, messages }) => withoutSystem(title, system, messages.map(fromKept)));
}

/** A system message that other programs write as the first one is ours beside the messages. */
function withoutSystem(title: string | undefined, system: string | undefined, messages: Message[]): Imported {
  const [first, ...rest] = messages;
  return system === undefined && first?.role === "system"
    ? { title, system: first.content, messages: rest }
    : { title, system, messages };
}

function fromKept({ content, ...rest }: Kept["messages"][number]): Message {
  const text = typeof content === "string" ? content : (content ?? []).map((part) => part.text).join("");
  return { ...rest, content: text };
}
