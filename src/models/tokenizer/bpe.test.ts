/** What words become is compared with the reference in test/tokenizer-parts.test.ts; here is how long it takes. */
import { describe, expect, test } from "vitest";
import { Bpe, type BpeOptions } from "./bpe.ts";
import { MergeQueue } from "./merge-queue.ts";
import { mergeTable, rankOf } from "./merge-table.ts";
import { MergesBuilder } from "./merges.ts";

const PLAIN: BpeOptions = {
  unknownToken: undefined,
  fuseUnknown: false,
  byteFallback: false,
  ignoreMerges: false,
  continuingPrefix: "",
  endSuffix: "",
};

/** Byte-pair encoding with these merges, in order, over tokens that are numbered as they come. */
function create(
  letters: string,
  merges: readonly (readonly [string, string])[],
  options: Partial<BpeOptions> = {},
): Bpe {
  const vocabulary = new Map<string, number>();
  const idOf = (token: string): number => {
    const id = vocabulary.get(token) ?? vocabulary.size;
    vocabulary.set(token, id);
    return id;
  };
  [...letters].forEach(idOf);
  const builder = new MergesBuilder(merges.length);
  for (const [left, right] of merges) {
    builder.add(idOf(left), idOf(right), idOf(left + right), left + right);
  }
  return new Bpe({ ...PLAIN, ...options }, vocabulary, builder.finish(), (word) => word);
}

/** Merges that make words of 2, 4, 8, … times a letter. */
function doublings(letter: string, count: number): [string, string][] {
  return Array.from({ length: count }, (_, i) => [letter.repeat(2 ** i), letter.repeat(2 ** i)]);
}

/** The tokens of a long word, and how many pauses there were. */
function encodeLong(bpe: Bpe, word: string): { ids: number[]; pauses: number } {
  const ids: number[] = [];
  expect(bpe.encodeShort(word, ids)).toBe(false);
  let pauses = 0;
  for (const steps = bpe.encodeLong(word, ids); steps.next().done !== true;) {
    pauses++;
  }
  return { ids, pauses };
}

describe("a word of a whole text", () => {
  test.each<[string, Bpe, string]>([
    ["one letter again and again", create("a", doublings("a", 6)), "a"],
    [
      "a pair in disorder",
      create("ab", [
        ["ab", "a"],
        ["b", "a"],
        ["a", "b"],
        ["a", "ba"],
        ["ab", "ab"],
      ]),
      "abbaab",
    ],
    ["nothing to merge", create("ab", []), "ab"],
    ["unknown characters", create("a", doublings("a", 2)), "ax"],
  ])("%s: time grows with the word", (_name, bpe, unit) => {
    const word = unit.repeat(120_000 / unit.length);
    const once = encodeLong(bpe, word).pauses;
    const twice = encodeLong(bpe, word + word).pauses;
    expect(once).toBeGreaterThan(10);
    expect(twice).toBeLessThan(2.2 * once);
  });

  test("pauses change nothing", () => {
    const bpe = create("a", doublings("a", 6));
    const { ids } = encodeLong(bpe, "a".repeat(64_001));
    expect(ids).toEqual([...new Array<number>(1000).fill(6), 0]);
  });
});

test("words are kept, and their tokens are the same again", () => {
  const bpe = create("ab", [["a", "b"]]);
  const ids: number[] = [];
  for (const word of ["ab", "ba", "ab", "abab", "ab"]) {
    expect(bpe.encodeShort(word, ids)).toBe(true);
  }
  expect(ids).toEqual([2, 1, 0, 2, 2, 2, 2]);
});

test("a part of a long word that is a token is merged as any other", () => {
  // "ab" is a token that no merge makes, so only a whole word is it.
  const vocabulary = new Map([
    ["a", 0],
    ["b", 1],
    ["ab", 2],
    ["-", 3],
  ]);
  const bpe = new Bpe(
    { ...PLAIN, ignoreMerges: true },
    vocabulary,
    new MergesBuilder(0).finish(),
    (word) => word,
  );
  const short: number[] = [];
  bpe.encodeShort("ab", short);
  expect(short).toEqual([2]);
  expect(encodeLong(bpe, "-ab".repeat(30)).ids).toEqual(Array.from({ length: 30 }, () => [3, 0, 1]).flat());
});

test("the queue gives the lowest rank, and of one rank the leftmost place, in whatever order they were put in", () => {
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const queue = new MergeQueue();
  const expected: [number, number][] = [];
  for (let round = 0; round < 3000; round++) {
    if (round < 1000 || random(3) > 0) {
      const entry: [number, number] = [random(40), random(500)];
      queue.add(...entry);
      expected.push(entry);
      expected.sort(([a, b], [c, d]) => a - c || b - d);
    } else {
      expect(queue.take()).toBe(true);
      expect([queue.rank, queue.place]).toEqual(expected.shift());
    }
  }
  while (expected.length > 0) {
    expect(queue.take()).toBe(true);
    expect([queue.rank, queue.place]).toEqual(expected.shift());
  }
  expect(queue.take()).toBe(false);
});

test("the table finds every merge and no other; of a pair that occurs twice the last", () => {
  const count = 5000;
  const lefts = Int32Array.from({ length: count }, (_, i) => Math.trunc(i / 70));
  const rights = Int32Array.from({ length: count }, (_, i) => i % 70);
  const table = mergeTable(
    Int32Array.of(...lefts, 3),
    Int32Array.of(...rights, 4),
    new Int32Array(count + 1),
  );
  for (let i = 0; i < count; i++) {
    const isTwice = lefts[i] === 3 && rights[i] === 4;
    expect(rankOf(table, lefts[i] ?? 0, rights[i] ?? 0)).toBe(isTwice ? count : i);
  }
  expect([rankOf(table, 0, 70), rankOf(table, 100, 0), rankOf(table, -1, -1)]).toEqual([-1, -1, -1]);
});
