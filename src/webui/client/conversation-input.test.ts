import { describe, expect, test } from "vitest";
import { conversationInput, fileSystem, settingsOf } from "./conversation-input.ts";
import type { WireVariable } from "./wire.ts";

const variable = (name: string | undefined, more: Partial<WireVariable> = {}): WireVariable => ({
  name,
  type: "text",
  is_list: false,
  ...more,
});

const messages = [
  { role: "user", content: "a" },
  { role: "assistant", content: "A", reasoning: "hm", facts: { ended: "eos" } },
  { role: "user", content: "b" },
] as const;
const sent = [
  { role: "user", content: "a" },
  { role: "assistant", content: "A" },
  { role: "user", content: "b" },
];
const system = { role: "system", content: "Be brief." };

describe("the input", () => {
  test("has all that was said, without what is only for people", () => {
    const places = { messages: "chat.messages", system: "chat.messages" };
    expect(conversationInput({ messages }, places, { heat: 1 })).toEqual({
      heat: 1,
      chat: { messages: sent },
    });
    expect(conversationInput({ messages, system: "Be brief." }, places, {})).toEqual({
      chat: { messages: [system, ...sent] },
    });
    expect(conversationInput({ messages }, { messages: "", system: "" }, {})).toEqual(sent);
  });

  test("keeps calls", () => {
    const call = { type: "function", function: { name: "f", arguments: {} } } as const;
    const called = [{ role: "assistant", content: "", tool_calls: [call] }];
    expect(conversationInput({ messages: called }, { messages: "m" }, {})).toEqual({ m: called });
  });

  test("is a history and a prompt, with the system's text where the workflow has it", () => {
    const places = { history: "history", prompt: "prompt", system: "instructions" };
    const history = sent.slice(0, 2);
    expect(conversationInput({ messages, system: "Be brief." }, places, { n: 1 })).toEqual({
      n: 1,
      history,
      prompt: "b",
      instructions: "Be brief.",
    });
    expect(conversationInput({ messages }, places, {})).toEqual({ history, prompt: "b" });
    const inHistory = { ...places, system: "history" };
    expect(conversationInput({ messages, system: "Be brief." }, inHistory, {})).toEqual({
      history: [system, ...history],
      prompt: "b",
    });
    const last = { messages: [...messages, { role: "tool", content: "1" }] };
    expect(() => conversationInput(last, places, {})).toThrow(/the last message is not a user's/);
  });
});

test("the settings are what is not the conversation", () => {
  const variables = [variable("history"), variable("prompt"), variable("instructions"), variable("n")];
  const places = { history: "history", prompt: "prompt", system: "instructions" };
  expect(settingsOf(variables, places).map(({ name }) => name)).toEqual(["n"]);
  expect(settingsOf([variable(undefined)], { messages: "", system: "" })).toEqual([]);
  const told = [variable("instructions", { default: "/think" }), variable("history", { default: "x" })];
  expect(fileSystem(told, places)).toBe("/think");
  expect(fileSystem(told, { ...places, system: "history" })).toBeUndefined();
});
