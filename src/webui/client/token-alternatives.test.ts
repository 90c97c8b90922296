import { expect, test } from "vitest";
import { keptTokens, percent, shownTokens, storedTokens } from "./token-alternatives.ts";

const of = (token: number, text: string, probability: number) => ({
  token,
  text,
  bytes: [],
  logprob: Math.log(probability),
});

test("each token has its probability, and those of others in its place", () => {
  const top = [of(2, " dog", 0.6), of(1, " cat", 0.25), of(3, '"\n', 0.0005)];
  const kept = keptTokens([
    { ...of(1, " cat", 0.25), top },
    { ...of(9, "!", 0.95), top: [of(9, "!", 0.95)] },
  ]);
  // What is kept is short, and what the storage gives back is the same.
  expect(kept[1]).toEqual(["!", -0.0513, []]);
  const [cat, sure] = shownTokens(storedTokens.parse(JSON.parse(JSON.stringify(kept))));
  expect(cat).toEqual({
    text: " cat",
    level: 1,
    words: '“ cat” 25 %; instead: “ dog” 60 %, “\\"\\n” < 0.1 %',
  });
  expect(sure).toEqual({ text: "!", level: 4, words: "“!” 95 %" });
});

test("percent", () => {
  expect([0, 0.0005, 0.001, 0.0994, 0.0996, 1].map(percent)).toEqual([
    "0 %",
    "< 0.1 %",
    "0.1 %",
    "9.9 %",
    "10 %",
    "100 %",
  ]);
});
