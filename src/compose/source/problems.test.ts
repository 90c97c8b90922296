import { describe, expect, test } from "vitest";
import type { ComposeFileError } from "./problems.ts";
import { formatProblem, markSecret, ProblemList, type SourceFile } from "./problems.ts";

const fileOf = (text: string): SourceFile => ({ name: "a.yml", path: "/a.yml", text });

function shown(text: string, marked: string, message = "wrong."): string[] {
  const file = fileOf(text);
  const start = text.indexOf(marked);
  const location = { file, start, end: start + marked.length };
  return formatProblem({ code: "invalid-config", message, location }).split("\n");
}

describe("the line of a problem", () => {
  test("is shown with carets under the place, and its tabs", () => {
    expect(shown("a: 1\n\tb\tkey: 2\n", "key")).toEqual([
      "a.yml:2:4: wrong.",
      "  2 | \tb\tkey: 2",
      "    | \t \t^^^",
    ]);
  });

  test("is shown around the place where it is long", () => {
    const [, line = "", carets = ""] = shown(`${"x".repeat(300)} key ${"y".repeat(300)}`, "key");
    expect(line).toBe(`  1 | …${"x".repeat(39)} key ${"y".repeat(76)}…`);
    expect(carets).toBe(`    | ${" ".repeat(41)}^^^`);
  });

  test("has no more carets than there are characters of it", () => {
    const word = "w".repeat(80_000);
    const [, line = "", carets = ""] = shown(`${word}: 1`, word);
    expect(line).toBe(`  1 | ${"w".repeat(120)}…`);
    expect(carets).toBe(`    | ${"^".repeat(120)}`);
  });

  test.each([
    ["my_token: abc # key", "my_token: …"],
    ['"Authorization": Bearer abc key', '"Authorization": …'],
    ["the secret is: abc key", "the secret is: abc key"],
  ])("%s is shown as %s", (line, visible) => {
    expect(shown(line, "key")[1]).toBe(`  1 | ${visible}`);
  });

  test("hides the places that hold secrets, though it is long", () => {
    const text = `${"x".repeat(200)} key: hidden ${"y".repeat(200)}`;
    const file = fileOf(text);
    const start = text.indexOf("key");
    const at = text.indexOf("hidden");
    markSecret({ file, start: at, end: at + "hidden".length });
    const location = { file, start, end: start + 3 };
    const [, line] = formatProblem({ code: "invalid-config", message: "wrong.", location }).split("\n");
    expect(line).toContain("key: … y");
    expect(line).not.toContain("hidden");
  });
});

test("a message shows the first twenty of many problems, and counts them all", () => {
  const problems = new ProblemList();
  const text = Array.from({ length: 10_000 }, (_, i) => `wrong${i}: 1\n`).join("");
  const file = fileOf(text);
  let start = 0;
  for (let i = 0; i < 10_000; i++) {
    const end = start + `wrong${i}`.length;
    problems.invalid(`unknown key "wrong${i}".`, { file, start, end });
    start = text.indexOf("\n", start) + 1;
  }
  let error: unknown;
  try {
    problems.throwIfAny();
  } catch (thrown) {
    error = thrown;
  }
  const { message, problems: all } = error as ComposeFileError;
  expect(all).toHaveLength(10_000);
  expect(message.match(/unknown key/g)).toHaveLength(20);
  expect(message).toContain("10000 problems, of which these are the first 20.");
});

test("foreign texts in messages and remedies are clipped", () => {
  const problems = new ProblemList();
  problems.invalid(
    `unknown key "${"k".repeat(50_000)}".`,
    undefined,
    `Did you mean "${"m".repeat(50_000)}"?`,
  );
  const [problem] = problems.problems;
  expect(problem?.message).toBe(`unknown key "${"k".repeat(79)}…".`);
  expect(problem?.remedy).toBe(`Did you mean "${"m".repeat(79)}…"?`);
});
