import { expect, test } from "vitest";
import { PromptLookup } from "./prompt-lookup.ts";

test("a draft is what followed the last three tokens, else the last two, the last time they came", () => {
  const lookup = new PromptLookup([1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 1, 2, 3]);
  expect(lookup.draft(2)).toEqual([4, 5]);
  expect(lookup.draft(4)).toEqual([4, 5, 9, 2]);
  expect(new PromptLookup([9, 2, 3, 7, 8, 5, 2, 3]).draft(2)).toEqual([7, 8]);
  expect(new PromptLookup([2, 3, 7, 2, 3, 8, 2, 3]).draft(1)).toEqual([8]);
});

test("nothing where they never came before, or alone", () => {
  for (const tokens of [[], [1], [1, 2], [1, 2, 3, 4], [1, 1]]) {
    expect(new PromptLookup(tokens).draft(3), tokens.join()).toEqual([]);
  }
  expect(new PromptLookup([5, 5, 5]).draft(3)).toEqual([5]);
});

test("goes on with what is added, and a draft ends with what there is", () => {
  const lookup = new PromptLookup([1, 2, 3]);
  lookup.add(1);
  expect(lookup.draft(3)).toEqual([]);
  lookup.add(2);
  expect(lookup.draft(1)).toEqual([3]);
  expect(lookup.draft(9)).toEqual([3, 1, 2]);
});

test("tokens that only have the same hash are no match", () => {
  // Multiplied by 2^16, a token's upper bits are lost: these two pairs have one hash.
  const hash = (a: number, b: number): number => (Math.imul(a, 0x9e3779b1) + b) | 0;
  const [a, b] = [3, 70_000];
  const c = b + (Math.imul(a, 0x9e3779b1) - Math.imul(4, 0x9e3779b1));
  expect(hash(a, b)).toBe(hash(4, c));
  expect(new PromptLookup([a, b, 5, 6, 4, c]).draft(1)).toEqual([]);
});
