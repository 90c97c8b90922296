import { expect, test } from "vitest";
import { uniform } from "./philox.ts";
import { GrowingHistory, ListedHistory, NgramHistory, SeenTokens } from "./token-history.ts";

test("SeenTokens lists every token of the vocabulary once", () => {
  const seen = new SeenTokens(10);
  for (const token of [4, 4, 9, 10, 4, 123, 0, 9]) {
    seen.push(token);
  }
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
      if (window.slice(0, -1).join() === prefix.join()) {
        expected.add(window.at(-1) ?? -1);
      }
    }
    expect([...history.repeats()].sort()).toEqual([...expected].sort());
    const token = uniform(1, step, [0, 0, 0]) % 5;
    tokens.push(token);
    history.push(token);
  }
});

test("a history that grows and one that is listed answer alike", () => {
  const growing = new GrowingHistory(4, { seen: true, ngramSize: 3, last: 5, countsFrom: 7 });
  const tokens: number[] = [];
  for (let step = 0; step < 200; step++) {
    const listed = new ListedHistory(tokens, 4);
    expect(growing.length).toBe(listed.length);
    expect([...growing.repeats()].sort()).toEqual([...listed.repeats(3)].sort());
    for (const count of [0, 1, 5]) {
      expect(growing.last(count)).toEqual(listed.last(count));
      expect(listed.last(count)).toEqual(tokens.slice(Math.max(0, tokens.length - count)));
    }
    expect([...growing.countsFrom()].sort()).toEqual([...listed.countsFrom(7)].sort());
    const count = tokens.slice(7).filter((token) => token === 2).length;
    expect(listed.countsFrom(7).get(2) ?? 0).toBe(count);
    const [a, b] = [growing.seen(), listed.seen()];
    expect([...a.ids.subarray(0, a.size)].sort()).toEqual([...b.ids.subarray(0, b.size)].sort());
    const token = uniform(2, step, [0, 0, 0]) % 5; // 4 is beyond the vocabulary
    tokens.push(token);
    growing.push(token);
  }
  expect([...new ListedHistory([1, 2, 1], 4).repeats(1)].sort()).toEqual([1, 2]);
});
