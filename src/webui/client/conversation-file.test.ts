import { describe, expect, test } from "vitest";
import { keptConversation } from "../../cli/chat/conversation.ts";
import type { Conversation } from "./conversation.ts";
import { exportAll, exportOne, importConversations } from "./conversation-file.ts";
import { ForeignFileError } from "./foreign-file.ts";

const conversation: Conversation = {
  id: "c",
  workflow: "w",
  system: "Be brief.",
  messages: [
    { role: "user", content: "a" },
    {
      role: "assistant",
      content: "",
      reasoning: "hm",
      tool_calls: [{ type: "function", function: { name: "f", arguments: { x: [1] } } }],
      facts: { ended: "eos", model: "m", newTokens: 3 },
    },
  ],
  changedAt: Date.UTC(2026, 0, 2),
};

function refusal(value: unknown): string {
  try {
    importConversations(typeof value === "string" ? value : JSON.stringify(value));
  } catch (error) {
    expect(error).toBeInstanceOf(ForeignFileError);
    return (error as Error).message;
  }
  return "accepted";
}

describe("a file", () => {
  test("comes back as it was, one conversation or several", () => {
    const { system, messages } = conversation;
    expect(importConversations(exportOne(conversation))).toEqual([{ title: "a", system, messages }]);
    const empty = { ...conversation, messages: [] };
    const again = importConversations(exportAll([conversation, empty, { ...conversation, title: "T" }]));
    expect(again.map(({ title }) => title)).toEqual(["a", "T"]);
  });

  test("is one that the terminal reads, and the other way round", () => {
    const kept = keptConversation.parse(JSON.parse(exportOne(conversation)));
    expect(kept).toMatchObject({ model: "m", system: "Be brief.", savedAt: "2026-01-02T00:00:00.000Z" });
    expect(kept.messages[0]).toEqual({ role: "user", content: "a" });
    const parts = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ];
    const terminal = {
      version: 1,
      model: "m",
      savedAt: "2026-01-01T00:00:00.000Z",
      messages: [
        { role: "system", content: "S" },
        { role: "user", content: parts },
        { role: "assistant", content: null },
      ],
    };
    expect(importConversations(JSON.stringify(terminal))).toEqual([
      {
        title: undefined,
        system: "S",
        messages: [
          { role: "user", content: "ab" },
          { role: "assistant", content: "" },
        ],
      },
    ]);
  });

  test("that is none is refused, with the place that is wrong", () => {
    const good = JSON.parse(exportOne(conversation)) as Record<string, unknown>;
    expect(refusal("{")).toBe("The file is not a conversation: it is no JSON.");
    expect(refusal([])).toMatch(/^The file is not a conversation: Invalid input: expected object/);
    expect(refusal({ ...good, version: 2 })).toMatch(/: version: Invalid input: expected 1\.$/);
    expect(refusal({ ...good, messages: [] })).toMatch(/: messages: Too small/);
    expect(refusal({ ...good, messages: [{ role: "user", content: 1 }] })).toMatch(
      /: messages\[0\]\.content: /,
    );
    expect(refusal({ ...good, messages: [{ role: "", content: "a" }] })).toMatch(/: messages\[0\]\.role: /);
    const call = { type: "function", function: { name: "f" } };
    expect(refusal({ ...good, messages: [{ role: "assistant", tool_calls: [call] }] })).toMatch(
      /: messages\[0\]\.tool_calls\[0\]\.function\.arguments: /,
    );
    expect(refusal({ version: 1, conversations: [good, {}] })).toMatch(
      /^The file is not a list of conversations: conversations\[1\]\.version: /,
    );
  });
});
