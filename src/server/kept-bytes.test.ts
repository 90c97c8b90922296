/** One budget in bytes for all that a server keeps. */
import { describe, expect, test } from "vitest";
import { KeptBytes, NoRoomError, weigh } from "./kept-bytes.ts";

describe("a budget", () => {
  test("is held, changed and given back", () => {
    const kept = new KeptBytes(100, () => false);
    const first = kept.hold(60);
    const second = kept.hold(40);
    expect(kept.used).toBe(100);
    first.set(10);
    expect(kept.used).toBe(50);
    second.set(90);
    expect(kept.used).toBe(100);
    first.release();
    first.release();
    expect(kept.used).toBe(90);
  });

  test("refuses what does not fit, and holds what it held", () => {
    const kept = new KeptBytes(100, () => false);
    const holding = kept.hold(60);
    expect(() => kept.hold(41)).toThrow(NoRoomError);
    expect(() => holding.set(101)).toThrow(
      "The server keeps as much as it may (100 bytes) for runs that wait or go on. Try again later",
    );
    expect(kept.used).toBe(60);
    holding.set(100);
  });

  test("lets go of as much as is needed, and no more", () => {
    const old = [30, 30, 30];
    const kept: KeptBytes = new KeptBytes(100, () => {
      const holding = holdings.shift();
      holding?.release();
      return holding !== undefined;
    });
    const holdings = old.map((bytes) => kept.hold(bytes));
    kept.hold(10);
    expect(holdings).toHaveLength(3);
    const large = kept.hold(31);
    expect([kept.used, holdings.length]).toEqual([71, 1]);
    large.force(95);
    expect([kept.used, holdings.length]).toEqual([105, 0]);
    // What is there cannot be refused; less of it always may be.
    large.set(94);
    expect(kept.used).toBe(104);
    expect(() => large.set(95)).toThrow(NoRoomError);
  });
});

test.each<[unknown, number]>([
  ["abcd", 24 + 8],
  [null, 0],
  [12, 0],
  [[], 56],
  [[1, null, true], 56 + 3 * 16],
  [["ab", ["c"]], 56 + 2 * 16 + 28 + 56 + 16 + 26],
  [{}, 56],
  [{ key: 1 }, 56 + 32 + 24 + 3],
  [{ a: { b: "c" } }, 2 * (56 + 32 + 24 + 1) + 26],
])("%j weighs %d bytes", (value, bytes) => {
  expect(weigh(value)).toBe(bytes);
});
