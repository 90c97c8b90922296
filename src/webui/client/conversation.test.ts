import { describe, expect, test } from "vitest";
import {
  isOpen,
  matches,
  newConversation,
  openCalls,
  reduce,
  titleOf,
  type Conversation,
  type ConversationAction,
} from "./conversation.ts";

const call = { type: "function", function: { name: "look", arguments: { at: 1 } } } as const;

/** A conversation after actions; each takes a millisecond. */
function after(...actions: ConversationAction[]): Conversation {
  return actions.reduce((before, action, i) => reduce(before, action, i + 1), newConversation("c", "w", 0));
}

const answer = (content: string): ConversationAction => ({
  type: "answered",
  message: { role: "assistant", content },
});
const twoTurns = [
  { type: "say", text: "a" },
  answer("A"),
  { type: "say", text: "b" },
  answer("B"),
] as const satisfies ConversationAction[];

const said = ({ messages }: Conversation): string[] =>
  messages.map(({ role, content }) => `${role}: ${content}`);

describe("a conversation", () => {
  test("goes on turn by turn, and is open while a message waits", () => {
    const asked = after({ type: "say", text: "a" });
    expect(isOpen(asked)).toBe(true);
    const began = reduce(asked, { type: "began", task: "t", at: 5 }, 5);
    expect(began).toMatchObject({ pending: { task: "t", at: 5 }, changedAt: 5 });
    expect(isOpen(began)).toBe(false);
    const whole = reduce(began, answer("A"), 6);
    expect([isOpen(whole), whole.pending]).toEqual([false, undefined]);
    expect(said(after(...twoTurns))).toEqual(["user: a", "assistant: A", "user: b", "assistant: B"]);
    expect(isOpen(newConversation("c", "w", 0))).toBe(false);
  });

  test("a message that is edited drops what came behind it; only a user's can be", () => {
    const edited = after(...twoTurns, { type: "edit", index: 0, text: "x" });
    expect(said(edited)).toEqual(["user: x"]);
    expect(said(after(...twoTurns, { type: "edit", index: 2, text: "x" }))).toEqual([
      "user: a",
      "assistant: A",
      "user: x",
    ]);
    expect(said(after(...twoTurns, { type: "edit", index: 1, text: "x" }))).toHaveLength(4);
  });

  test("an answer is written again from what it answered", () => {
    expect(said(after(...twoTurns, { type: "again", index: 3 }))).toEqual([
      "user: a",
      "assistant: A",
      "user: b",
    ]);
    expect(said(after(...twoTurns, { type: "again", index: 1 }))).toEqual(["user: a"]);
    const unanswered = after({ type: "say", text: "a" }, { type: "again", index: 0 });
    expect(said(unanswered)).toEqual(["user: a"]);
    expect(after({ type: "again", index: -1 }).messages).toEqual([]);
  });

  test("an answer that broke off stays as far as it came; none at all leaves the question open", () => {
    const message = { role: "assistant", content: "so f" };
    const failed = after({ type: "say", text: "a" }, { type: "broke-off", message, error: "No." });
    expect(said(failed)).toEqual(["user: a", "assistant: so f"]);
    expect(failed.error).toBe("No.");
    const empty = { ...message, content: " " };
    const nothing = after({ type: "say", text: "a" }, { type: "broke-off", message: empty });
    expect([said(nothing), isOpen(nothing)]).toEqual([["user: a"], true]);
    const thought = after(
      { type: "say", text: "a" },
      { type: "broke-off", message: { ...empty, reasoning: "hm" } },
    );
    expect(thought.messages).toHaveLength(2);
    // The next message is another try.
    expect(reduce(failed, { type: "say", text: "b" }, 9).error).toBeUndefined();
  });

  test("results stand behind the calls that they answer", () => {
    const calls = { role: "assistant", content: "", tool_calls: [call, call] };
    const called = after({ type: "say", text: "a" }, { type: "answered", message: calls });
    expect(openCalls(called)).toHaveLength(2);
    const told = reduce(called, { type: "tool-results", texts: ["1", "2"] }, 9);
    expect(said(told).slice(2)).toEqual(["tool: 1", "tool: 2"]);
    expect([isOpen(told), openCalls(told)]).toEqual([true, []]);
  });

  test("is named by its first words until somebody names it", () => {
    expect(titleOf(newConversation("c", "w", 0))).toBe("New conversation");
    const one = after({ type: "say", text: `Why  is\nthe sky ${"so ".repeat(30)}blue?` });
    expect(titleOf(one)).toMatch(/^Why is the sky so so .*…$/);
    expect([...titleOf(one)]).toHaveLength(60);
    const named = reduce(one, { type: "rename", title: " Sky " }, 9);
    expect(titleOf(named)).toBe("Sky");
    expect(titleOf(reduce(named, { type: "rename", title: " " }, 9))).toMatch(/^Why/);
  });

  test("an empty system prompt is none", () => {
    expect(after({ type: "system", text: "Be brief." }).system).toBe("Be brief.");
    expect(after({ type: "system", text: "x" }, { type: "system", text: " " }).system).toBeUndefined();
  });

  test("is found by all words of a search, in any order", () => {
    const one = after(...twoTurns, { type: "rename", title: "Letters" });
    expect(["", "LETTERS", "b a", "letters b"].map((search) => matches(one, search))).toEqual(
      Array(4).fill(true),
    );
    expect(matches(one, "letters c")).toBe(false);
  });
});
