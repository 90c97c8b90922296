/** Tests of how a conversation fits a context: a token a character, so that every border is seen. */
import { expect, test } from "vitest";
import { messagesOf, textOf, type Conversation } from "./conversation.ts";
import { answerRoom, fit } from "./fit.ts";

const count = (conversation: Conversation): Promise<number> =>
  Promise.resolve(messagesOf(conversation).map(textOf).join("").length);

/** @param lengths characters of each turn */
function talk(...lengths: number[]): Conversation {
  return { system: undefined, messages: lengths.map((n) => ({ role: "user", content: "x".repeat(n) })) };
}

test.each([
  [4096, undefined, 256],
  [4096, 100, 100],
  [4096, 1000, 256],
  [400, undefined, 100],
])(
  "of a context of %i tokens, with at most %s new ones, %i stay free",
  (contextLength, maxNewTokens, room) => {
    expect(answerRoom({ contextLength, maxNewTokens })).toBe(room);
  },
);

const context = { contextLength: 400, maxNewTokens: undefined };

test("what leaves the room fits, one token more does not", async () => {
  expect(await fit(talk(100, 200), context, count)).toEqual({ fits: true, tokens: 300 });
  expect(await fit(talk(100, 201), context, count)).toEqual({ fits: false, tokens: 301, drop: 1 });
});

test.each([
  [[50, 50, 50, 50, 300], 4],
  [[50, 50, 50, 50, 250], 3],
  [[50, 50, 50, 50, 150], 1],
])("of turns of %j the fewest go: %i", async (lengths, drop) => {
  expect(await fit(talk(...lengths), context, count)).toMatchObject({ fits: false, drop });
});

test("where the last turn alone does not fit, none is dropped", async () => {
  expect(await fit(talk(10, 301), context, count)).toEqual({ fits: false, tokens: 311, drop: undefined });
  expect(await fit(talk(301), context, count)).toMatchObject({ drop: undefined });
});

test("a summary needs its room", async () => {
  const turns = talk(50, 50, 50, 50, 150);
  expect(await fit(turns, { ...context, summary: 50 }, count)).toMatchObject({ drop: 2 });
  expect(await fit(turns, { ...context, summary: 151 }, count)).toMatchObject({ drop: undefined });
});
