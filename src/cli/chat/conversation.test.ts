/** Tests of conversations as data: turns, taking back, dropping, summing up, files. */
import { expect, test } from "vitest";
import {
  fromKept,
  keptConversation,
  lastAnswer,
  messagesOf,
  summaryRequest,
  titleOf,
  toKept,
  turnsOf,
  withoutLastAnswer,
  withoutLastTurn,
  withoutOldest,
  withSummary,
  type Conversation,
} from "./conversation.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const tool = { role: "tool", name: "f", content: "r" };

const talk: Conversation = {
  system: "S",
  messages: [user("a"), assistant("A"), user("b"), assistant("call"), tool, assistant("B"), user("c")],
};
const contents = (messages: readonly { content?: unknown }[]): unknown[] =>
  messages.map(({ content }) => content);

test("a turn is what a user says with all that follows", () => {
  expect(turnsOf(talk).map(contents)).toEqual([["a", "A"], ["b", "call", "r", "B"], ["c"]]);
  expect(contents(messagesOf(talk))).toEqual(["S", "a", "A", "b", "call", "r", "B", "c"]);
  expect(messagesOf({ ...talk, system: undefined })).toBe(talk.messages);
});

test("the last turn is taken back; the last answer leaves what is to be answered, also a tool's result", () => {
  const two = withoutLastTurn(talk);
  expect(contents(two?.messages ?? [])).toEqual(["a", "A", "b", "call", "r", "B"]);
  expect(contents(withoutLastAnswer(two ?? talk)?.messages ?? [])).toEqual(["a", "A", "b", "call", "r"]);
  expect(withoutLastAnswer(talk)).toEqual(talk);
  expect(withoutLastTurn({ system: "S", messages: [] })).toBeUndefined();
  expect(withoutLastAnswer({ system: "S", messages: [] })).toBeUndefined();
  expect(lastAnswer(talk)).toBe("B");
});

test("the oldest turns go, never the last one, and never what the system says", () => {
  expect(contents(withoutOldest(talk, 1).messages)).toEqual(["b", "call", "r", "B", "c"]);
  expect(contents(withoutOldest(talk, 9).messages)).toEqual(["c"]);
  expect(withoutOldest(talk, 1).system).toBe("S");
});

test("a summary is asked of the oldest turns, and stands in their place", () => {
  expect(contents(summaryRequest(talk, 1).messages).slice(0, 2)).toEqual(["a", "A"]);
  expect(summaryRequest(talk, 1).messages).toHaveLength(3);
  const summed = withSummary(talk, 2, "sum");
  expect(summed.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
  expect(contents(summed.messages).slice(1)).toEqual(["sum", "c"]);
});

test("what is kept comes back; what is no conversation is refused", () => {
  const kept = toKept(talk, "m", "2026-01-01T00:00:00.000Z");
  expect(fromKept(keptConversation.parse(JSON.parse(JSON.stringify(kept))))).toEqual(talk);
  for (const messages of [[{ role: "user" }], [{ role: "user", content: 1 }], ["x"]]) {
    expect(keptConversation.safeParse({ ...kept, messages }).success).toBe(false);
  }
});

test("a title is the beginning of what was said first, on one line", () => {
  expect(titleOf({ messages: [user("one\n  two")] })).toBe("one two");
  expect(titleOf({ messages: [user("abcdef")] }, 6)).toBe("abcdef");
  expect(titleOf({ messages: [user("abcdefg")] }, 6)).toBe("abcde…");
});
