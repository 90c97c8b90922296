import { describe, expect, test } from "vitest";
import { growth, LINEAR } from "../../../../test/support/growth.ts";
import { patternProblem, type Operator } from "../../definition/operators.ts";
import { holds } from "./conditions.ts";

test.each<[unknown, Operator, unknown, boolean]>([
  [1, "eq", 1, true],
  ["1", "eq", 1, false],
  [true, "eq", 1, false],
  [null, "eq", null, true],
  [{ a: [1] }, "eq", { a: [1] }, true],
  [[1, 2], "neq", [2, 1], true],
  [2, "gt", 1, true],
  ["10", "gt", 9, true],
  [9, "lt", "10", true],
  ["b", "gte", "a", true],
  ["10", "lt", "9", true],
  [1, "lte", 1, true],
  ["b", "in", ["a", "b"], true],
  [{ a: 1 }, "in", [{ a: 1 }], true],
  ["b", "in", "abc", true],
  ["a", "in", { a: 1 }, true],
  ["toString", "in", {}, false],
  ["d", "not-in", "abc", true],
  ["abc", "starts-with", "ab", true],
  ["abc", "ends-with", "ab", false],
  ["abc", "match", "b", false],
  ["abc", "match", ".?b", true],
  ["line\nnext", "match", "line$", false],
  ["ÄB", "match", "(?i)äb", true],
])("%j %s %j is %j", (input, operator, value, expected) => {
  expect(holds(operator, input, value)).toBe(expected);
});

describe("what an operator is not defined for", () => {
  test.each<[unknown, Operator, unknown, string]>([
    [null, "gt", 1, "gt compares two numbers or two texts, found null and 1"],
    ["x", "lt", 1, 'found the text "x" and 1'],
    [1, "in", 2, "in looks in a list, a text or an object, found 2"],
    [1, "in", "123", "in takes texts, found 1"],
    [1, "match", "1", "match takes texts, found 1"],
    ["a", "match", "(", "is not a regular expression"],
    ["a", "match", "(?=a)", "is not a regular expression"],
    ["a", "match", "(a)\\1", "is not a regular expression"],
    ["a", "match", "a".repeat(1001), "at most 1000 characters, found 1001"],
    ["a", "match", "((a{1000}){1000}){1000}", "is not a regular expression"],
  ])("%j %s %j", (input, operator, value, message) => {
    expect(() => holds(operator, input, value)).toThrow(
      expect.objectContaining({ code: "invalid-input", message: expect.stringContaining(message) as string }),
    );
  });
});

test("matching takes linear time", () => {
  expect(growth((n) => holds("match", "a".repeat(n), "(a*)*b"), 50_000)).toBeLessThan(LINEAR);
  expect(growth((n) => holds("match", "a".repeat(n), "(a|aa)+$"), 50_000)).toBeLessThan(LINEAR);
  expect(holds("match", "a".repeat(1000), "(a*)*b")).toBe(false);
  expect(holds("match", "a".repeat(1000), "(a|aa)+$")).toBe(true);
});

test("why a text is no pattern", () => {
  expect(patternProblem("a+")).toBeUndefined();
  expect(patternProblem("a(")).toContain("RE2");
});
