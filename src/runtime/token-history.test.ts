import { expect, test } from "vitest";
import { uniform } from "./philox.ts";
import { NgramHistory, SeenTokens } from "./token-history.ts";

test("SeenTokens lists every token of the vocabulary once", () => {
  const seen = new SeenTokens(10);
  for (const token of [4, 4, 9, 10, 4, 123, 0, 9]) seen.push(token);
  expect([...seen.ids.subarray(0, seen.size)]).toEqual([4, 9, 0]);
});

test.each([1, 2, 3, 4])("NgramHistory equals a search through all windows, n = %i", (size) => {
  const history = new NgramHistory(size);
  const tokens: number[] = [];
  for (let step = 0; step < 300; step++) {
    const prefix = size === 1 ? [] : tokens.slice(1 - size);
    const expected = new Set<number>();
    for (let start = 0; start + size <= tokens.length; start++) {
      const window = tokens.slice(start, start + size);
      if (window.slice(0, -1).join() === prefix.join()) expected.add(window.at(-1) ?? -1);
    }
    expect([...history.repeats()].sort()).toEqual([...expected].sort());
    const token = uniform(1, step, [0, 0, 0]) % 5;
    tokens.push(token);
    history.push(token);
  }
});
