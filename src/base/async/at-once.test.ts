import { expect, test } from "vitest";
import { atOnce } from "./at-once.ts";

test("so much at a time, in order, results by number", async () => {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const results = atOnce(
    5,
    2,
    (index) => {
      begun.push(index);
      return new Promise<string>((resolve) => (ends[index] = () => resolve(`result ${index}`)));
    },
    () => expect.unreachable(),
  );
  expect(begun).toEqual([0, 1]);
  for (const [end, now] of [
    [1, [0, 1, 2]],
    [2, [0, 1, 2, 3]],
    [0, [0, 1, 2, 3, 4]],
    [4, [0, 1, 2, 3, 4]],
    [3, [0, 1, 2, 3, 4]],
  ] as const) {
    ends[end]();
    await new Promise(setImmediate);
    expect(begun).toEqual(now);
  }
  expect(await results).toEqual([0, 1, 2, 3, 4].map((index) => `result ${index}`));
});

test("a failure ends the others, and is thrown when they have ended", async () => {
  const stop = new AbortController();
  const begun: number[] = [];
  const outcome = atOnce(
    4,
    2,
    (index) => {
      begun.push(index);
      return index === 1
        ? Promise.reject(new Error("the first"))
        : new Promise<void>((_, reject) => {
            stop.signal.addEventListener("abort", () => reject(new Error("a consequence")));
          });
    },
    () => stop.abort(),
  );
  await expect(outcome).rejects.toThrow("the first");
  expect(begun).toEqual([0, 1]);
});

test("nothing to do", async () => {
  expect(
    await atOnce(
      0,
      3,
      () => Promise.resolve(1),
      () => undefined,
    ),
  ).toEqual([]);
});
