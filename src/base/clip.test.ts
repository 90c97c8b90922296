import { expect, test } from "vitest";
import { clip, clipQuotes } from "./clip.ts";

test("a text is clipped beyond its bound, and not within a character", () => {
  expect(clip("a".repeat(80))).toBe("a".repeat(80));
  expect(clip("a".repeat(81))).toBe(`${"a".repeat(79)}…`);
  expect(clip("abcdef", 4)).toBe("abc…");
  expect(clip("ab😀cd", 4)).toBe("ab…");
  expect(clip("ab😀cd", 5)).toBe("ab😀…");
});

test("the quotes of a message are clipped, and nothing else", () => {
  const long = "x".repeat(5000);
  expect(clipQuotes(`the key "${long}" is not "a"; ${"y".repeat(200)}`)).toBe(
    `the key "${"x".repeat(79)}…" is not "a"; ${"y".repeat(200)}`,
  );
});
