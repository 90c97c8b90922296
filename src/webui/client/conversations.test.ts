import { expect, test } from "vitest";
import { newConversation, reduce, type Conversation } from "./conversation.ts";
import { Conversations, newId } from "./conversations.ts";
import { MemoryStorage } from "../../../test/support/memory-storage.ts";

function said(id: string, text: string, at: number, workflow = "w"): Conversation {
  return reduce(newConversation(id, workflow, 0), { type: "say", text }, at);
}

const ids = (list: readonly Conversation[]): string[] => list.map(({ id }) => id);

test("those of a workflow, the last changed first, found by words, after a reload too", () => {
  const storage = new MemoryStorage();
  const all = new Conversations(storage);
  expect(all.put(said("a", "one two", 1))).toBe(true);
  all.put(said("b", "two three", 2));
  all.put(said("c", "two", 3, "v"));
  all.put(said("a", "one two", 4));
  storage.setItem("somebody.else", "two");
  expect(ids(all.list("w"))).toEqual(["a", "b"]);
  const again = new Conversations(storage);
  expect(ids(again.list("w", "two"))).toEqual(["a", "b"]);
  expect(ids(again.list("w", "three"))).toEqual(["b"]);
  expect(again.get("b")).toEqual(said("b", "two three", 2));
  again.delete("b");
  expect([again.get("b"), ids(again.list("w"))]).toEqual([undefined, ["a"]]);
});

test("tokens of answers are kept, and make room for what was said", () => {
  const tokens = [["a", -0.5, [["b", -1]]]] as const;
  const storage = new MemoryStorage(500);
  const all = new Conversations(storage);
  const answered = (count: number): Conversation => ({
    ...said("a", "short", 1),
    messages: [
      { role: "user", content: "short" },
      { role: "assistant", content: "a", tokens: Array.from({ length: count }, () => tokens[0]) },
    ],
  });
  expect(all.put(answered(1))).toBe(true);
  expect(new Conversations(storage).get("a")).toEqual(answered(1));
  expect(all.put(answered(100))).toBe(true);
  expect(new Conversations(storage).get("a")?.messages[1]).toEqual({ role: "assistant", content: "a" });
});

test("one that there is no room for lasts as long as the page, and says so", () => {
  const storage = new MemoryStorage(500);
  const all = new Conversations(storage);
  all.put(said("a", "short", 1));
  const long = said("b", "x".repeat(1000), 2);
  expect(all.put(long)).toBe(false);
  expect(ids(all.list("w"))).toEqual(["b", "a"]);
  expect(all.get("b")).toEqual(long);
  expect(ids(new Conversations(storage).list("w"))).toEqual(["a"]);
  // An older form of it that is still there does not come back over it.
  expect(all.put(said("a", "y".repeat(1000), 3))).toBe(false);
  expect(all.get("a")?.messages[0]?.content).toMatch(/^y/);
  expect(ids(all.list("w"))).toEqual(["a", "b"]);
  all.delete("b");
  expect(ids(all.list("w"))).toEqual(["a"]);
});

test("what somebody else left there is passed over", () => {
  const storage = new MemoryStorage();
  storage.setItem("model-compose.conversation.a", "{not json");
  storage.setItem("model-compose.conversation.b", JSON.stringify({ id: "b", workflow: "w", messages: "?" }));
  expect(new Conversations(storage).list("w")).toEqual([]);
});

test("ids differ within a millisecond", () => {
  expect(newId(5, () => 0.1)).not.toBe(newId(5, () => 0.2));
  expect(newId(5, () => 0.1)).not.toBe(newId(6, () => 0.1));
});
